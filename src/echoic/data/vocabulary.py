"""Characters as a model's symbols: Unicode code points, most frequent first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Literal, Protocol, Self, runtime_checkable

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

UNKNOWN, BOUNDARY = 0, 1  # the first two symbols of every vocabulary
SPECIAL = 2
MAXIMUM_SYMBOLS = 0x110000
FEW_CHARACTERS = 1000  # up to so many distinct characters each is kept, however rare


class PieceDecoder(Protocol):
    """Turns symbols into text as they come."""

    def push(self, symbol: int) -> str:
        """Text that is complete with this symbol; may be empty."""
        ...

    def finish(self) -> str:
        """What is left at the end."""
        ...


@runtime_checkable
class Vocabulary(Protocol):
    """How a text becomes numbers and back. Symbol 0 is the unknown, symbol 1 stands between documents."""

    @property
    def size(self) -> int:
        """Symbols in all, the two special ones included."""
        ...

    def encode(self, text: str) -> np.ndarray:
        """Symbols of a text, int64 [N]."""
        ...

    def decode(self, symbols: Iterable[int]) -> str:
        """Text of symbols; the special ones give nothing."""
        ...

    def pieces(self) -> PieceDecoder:
        """A decoder for symbols that come one by one."""
        ...

    def unknown_in(self, text: str) -> list[str]:
        """Distinct characters of a text that can only be read as unknown."""
        ...


class CharacterVocabulary(BaseModel):
    """Every character that occurs in the training text, most frequent first.

    Attributes:
        characters: one string of all known characters; the n-th is symbol n + 2.
        counts: how often each occurred in the training text.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["character"] = "character"
    characters: str
    counts: list[int]

    @classmethod
    def fit(cls, documents: Sequence[str], size: int | None = None, minimum: int | None = None) -> Self:
        """Count the characters of the training texts.

        Args:
            size: keep the most frequent, at most so many symbols (None keeps all).
            minimum: characters seen fewer times are unknown. None: 1, or 2 where there are more than 1,000 distinct
                ones, so that the unknown symbol is learnt from the rarest.
        """
        totals = np.zeros(MAXIMUM_SYMBOLS, np.int64)
        for text in documents:
            points, counts = np.unique(_code_points(text), return_counts=True)
            totals[points] += counts
        points = np.flatnonzero(totals)
        if minimum is None:
            minimum = 2 if len(points) > FEW_CHARACTERS else 1
        points = points[totals[points] >= minimum]
        points = points[np.argsort(-totals[points], kind="stable")]
        if size is not None:
            points = points[: max(1, size - SPECIAL)]
        return cls(characters="".join(map(chr, points)), counts=totals[points].tolist())

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.characters)) != len(self.characters):
            raise ValueError("a character stands twice in the vocabulary")
        if len(self.counts) != len(self.characters):
            raise ValueError(f"{len(self.characters)} characters but {len(self.counts)} counts")
        return self

    @cached_property
    def _symbol_of(self) -> np.ndarray:
        table = np.full(MAXIMUM_SYMBOLS, UNKNOWN, np.int64)
        table[_code_points(self.characters)] = np.arange(len(self.characters)) + SPECIAL
        return table

    @property
    def size(self) -> int:
        """Symbols in all, the two special ones included."""
        return len(self.characters) + SPECIAL

    def encode(self, text: str) -> np.ndarray:
        """Symbols of a text, int64 [N]; a character never seen gives the unknown symbol."""
        return self._symbol_of[_code_points(text)]

    def decode(self, symbols: Iterable[int]) -> str:
        """Text of symbols; the special ones give nothing."""
        return "".join(self.characters[s - SPECIAL] for s in symbols if s >= SPECIAL)

    def pieces(self) -> PieceDecoder:
        """A decoder for symbols that come one by one: each is complete at once."""
        return _CharacterPieces(self)

    def unknown_in(self, text: str) -> list[str]:
        """Distinct characters of a text that the training text did not have."""
        return sorted(set(text) - set(self.characters))


class _CharacterPieces:
    def __init__(self, vocabulary: CharacterVocabulary) -> None:
        self.vocabulary = vocabulary

    def push(self, symbol: int) -> str:
        return self.vocabulary.decode((symbol,))

    def finish(self) -> str:
        return ""


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
