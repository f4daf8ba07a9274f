"""Tokens as a model reads them: the number of the word, its characters, and its beginnings and ends."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from echoic.data.vocabulary import BOUNDARY, SPECIAL, UNKNOWN, CharacterVocabulary

LONGEST = 24  # characters of a word that are read: the first and the last half of a longer one
SPELLED = 0.02  # share of tokens of several characters, from which spelling tells anything
BUCKETS = 2**14  # into which beginnings and ends are hashed
AFFIXES = 4  # lengths of beginnings and of ends


class WordTypes(NamedTuple):
    """Distinct words as numbers, a row each.

    words: in the vocabulary, 0 for unknown ones, int64 [V].
    vectors: row of the word in the table of vectors read from a file, 0 where it has none, int64 [V].
    characters: symbols with a boundary at both ends, 0 past the end, int64 [V, L].
    lengths: symbols of each, boundaries included, int64 [V].
    affixes: buckets of its beginnings and ends, int64 [V, A].
    """

    words: np.ndarray
    vectors: np.ndarray
    characters: np.ndarray
    lengths: np.ndarray
    affixes: np.ndarray


class TokenVocabulary(BaseModel):
    """Words and characters of the training part.

    Attributes:
        words: most frequent first; the n-th has number n + 2.
        counts: how often each occurred; word dropout hides the rare ones more often.
        lowercase: words are looked up in lower case; characters, beginnings and ends keep theirs.
        characters: of the words.
        spelled: whether the spelling tells more than the word: not where tokens are single characters (Chinese).
        buckets: for beginnings and ends; 0 for none of these.
        vectors: words of the file of vectors; the n-th has row n + 1.
        vector_size: their features.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    words: list[str]
    counts: list[int]
    lowercase: bool
    characters: CharacterVocabulary
    spelled: bool = True
    buckets: int = Field(ge=0, le=2**20)
    vectors: list[str] = Field(default_factory=list)
    vector_size: int = Field(default=0, ge=0, le=4096)

    @classmethod
    def fit(
        cls, sentences: Iterable[Sequence[str]], lowercase: bool = True, minimum: int = 1, size: int | None = None
    ) -> Self:
        """Count the words of the training part.

        Args:
            lowercase: look words up in lower case.
            minimum: words seen fewer times are unknown.
            size: numbers at most, the two special ones included; None for no bound.
        """
        sentences = list(sentences)
        counts: Counter[str] = Counter()
        for words in sentences:
            counts.update(map(str.lower, words) if lowercase else words)
        kept = sorted((w for w, n in counts.items() if n >= minimum), key=lambda w: (-counts[w], w))
        kept = kept if size is None else kept[: max(0, size - SPECIAL)]
        characters = CharacterVocabulary.fit(["".join(words) for words in sentences])
        tokens = sum(map(len, sentences))
        spelled = sum(len(word) > 1 for words in sentences for word in words) > SPELLED * tokens
        return cls(
            words=kept, counts=[counts[w] for w in kept], lowercase=lowercase, characters=characters,
            spelled=spelled, buckets=BUCKETS if spelled else 0,
        )  # fmt: skip

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for what, words in (("vocabulary", self.words), ("vectors", self.vectors)):
            if len(set(words)) != len(words):
                raise ValueError(f"a word stands twice in the {what}")
        if len(self.counts) != len(self.words) or min(self.counts, default=0) < 0:
            raise ValueError(f"{len(self.words)} words but {len(self.counts)} counts, or negative ones")
        return self

    @property
    def size(self) -> int:
        """Numbers of words, the two special ones included."""
        return len(self.words) + SPECIAL

    def knows(self, word: str) -> bool:
        """Whether the training part had the word."""
        return self._looked_up(word) in self._number_of

    def encode(self, types: Sequence[str]) -> WordTypes:
        """Distinct words as numbers."""
        longest = max((min(len(word), LONGEST) for word in types), default=0) + 2
        characters = np.zeros((len(types), longest), np.int64)
        lengths = np.zeros(len(types), np.int64)
        for row, word in enumerate(types):
            symbols = self.characters.encode(_shortened(word))
            lengths[row] = len(symbols) + 2
            characters[row, 0] = characters[row, lengths[row] - 1] = BOUNDARY
            characters[row, 1 : lengths[row] - 1] = symbols
        return WordTypes(
            np.array([self._number_of.get(self._looked_up(word), UNKNOWN) for word in types], np.int64),
            np.array([self._vector_of(word) for word in types], np.int64),
            characters,
            lengths,
            np.array([self._affixes(word) for word in types], np.int64).reshape(len(types), 2 * AFFIXES),
        )

    def _looked_up(self, word: str) -> str:
        return word.lower() if self.lowercase else word

    def _vector_of(self, word: str) -> int:
        return self._row_of.get(word) or self._row_of.get(word.lower()) or 0

    def _affixes(self, word: str) -> list[int]:
        """A bucket for each beginning and end; CRC-32, so that every machine finds the same."""
        if not self.buckets:
            return [0] * (2 * AFFIXES)
        pieces = [f"{n}{word[:n]}" for n in range(1, AFFIXES + 1)] + [f"-{n}{word[-n:]}" for n in range(1, AFFIXES + 1)]
        return [zlib.crc32(piece.encode("utf-8", "surrogatepass")) % self.buckets for piece in pieces]

    @cached_property
    def _number_of(self) -> dict[str, int]:
        return {word: number + SPECIAL for number, word in enumerate(self.words)}

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {word: number + 1 for number, word in enumerate(self.vectors)}


def _shortened(word: str) -> str:
    half = LONGEST // 2
    return word if len(word) <= LONGEST else word[:half] + word[-half:]
