"""Texts of pairs as symbols and back: byte-level subwords, one vocabulary for both sides or one for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from echoic.data.subwords import SubwordVocabulary


class PairText(BaseModel):
    """How the texts of both sides become symbols.

    Attributes:
        lowercase: texts are read and written in lower case.
        source: the vocabulary of the source; of both sides where ``target`` is None.
        target: the vocabulary of the target.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lowercase: bool
    source: SubwordVocabulary
    target: SubwordVocabulary | None = None

    @classmethod
    def fit(cls, sources: Sequence[str], targets: Sequence[str], size: int, joint: bool, lowercase: bool) -> PairText:
        """Learn the subwords of the training texts; ``size`` symbols at most in each vocabulary."""
        sides = [[_written(text, lowercase) for text in side] for side in (sources, targets)]
        if joint:
            return cls(lowercase=lowercase, source=SubwordVocabulary.fit([*sides[0], *sides[1]], size))
        source, target = (SubwordVocabulary.fit(side, size) for side in sides)
        return cls(lowercase=lowercase, source=source, target=target)

    @property
    def joint(self) -> bool:
        """Whether both sides share a vocabulary."""
        return self.target is None

    @property
    def written(self) -> SubwordVocabulary:
        """The vocabulary of the target."""
        return self.source if self.target is None else self.target

    def encode_source(self, text: str) -> np.ndarray:
        """Symbols of a source, int64 [S]."""
        return self.source.encode(_written(text, self.lowercase))

    def encode_target(self, text: str) -> np.ndarray:
        """Symbols of a target, int64 [T]."""
        return self.written.encode(_written(text, self.lowercase))

    def decode(self, symbols: Iterable[int]) -> str:
        """The text of a target's symbols."""
        return self.written.decode(symbols).strip()

    def pieces(self, symbols: Iterable[int], source: bool) -> list[str]:
        """Each symbol as text, for figures; a byte that is no character gives the replacement character."""
        vocabulary = self.source if source else self.written
        return [vocabulary.decode([symbol]) for symbol in symbols]


def _written(text: str, lowercase: bool) -> str:
    """With a blank in front, so that a word is the same symbol at the beginning as within."""
    text = " " + " ".join(text.split())
    return text.lower() if lowercase else text
