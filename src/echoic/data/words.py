"""Words as a model's symbols: a splitter for any script, and a vocabulary learnt from the training texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from echoic.data.vocabulary import SPECIAL, UNKNOWN

# Scripts that write words without spaces between them: each character is a word of its own.
UNSPACED = (
    "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\U00020000-\U0003ffff"
)
WORD = re.compile(
    rf"[{UNSPACED}]"  # one such character
    r"|\d+(?:[.,:]\d+)*"  # a number
    rf"|(?:(?![{UNSPACED}])\w)+(?:['’](?:(?![{UNSPACED}])\w)+)*"  # a word with its apostrophes: don't
    r"|[^\w\s]"  # any other sign
)
MOSTLY = 0.3


def split_words(text: str) -> list[str]:
    """Words, numbers and signs of a text; a character each where the script has no spaces (Chinese, Japanese, Thai)."""
    return WORD.findall(text)


def mostly_unspaced(texts: Iterable[str], sample: int = 1000) -> bool:
    """True where the script of the texts writes no spaces, so that characters are the units to read."""
    unspaced = letters = 0
    for _, text in zip(range(sample), texts, strict=False):
        unspaced += len(re.findall(f"[{UNSPACED}]", text))
        letters += len(re.findall(r"\w", text))
    return unspaced > MOSTLY * letters


class WordVocabulary(BaseModel):
    """The words of the training texts, most frequent first.

    Attributes:
        words: the n-th is symbol n + 2.
        lowercase: texts are read in lower case.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["word"] = "word"
    words: list[str]
    lowercase: bool = True

    @classmethod
    def fit(
        cls, documents: Sequence[str], size: int | None = None, minimum: int | None = None, lowercase: bool = True
    ) -> Self:
        """Count the words of the training texts.

        Args:
            size: keep the most frequent, at most so many symbols (None keeps all).
            minimum: words seen fewer times are unknown (None: 1).
            lowercase: read texts in lower case.
        """
        counts: Counter[str] = Counter()
        for text in documents:
            counts.update(split_words(text.lower() if lowercase else text))
        kept = sorted((w for w, n in counts.items() if n >= (minimum or 1)), key=lambda w: (-counts[w], w))
        if size is not None:
            kept = kept[: max(1, size - SPECIAL)]
        return cls(words=kept, lowercase=lowercase)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.words)) != len(self.words):
            raise ValueError("a word stands twice in the vocabulary")
        return self

    @cached_property
    def _symbol_of(self) -> dict[str, int]:
        return {word: number + SPECIAL for number, word in enumerate(self.words)}

    @property
    def size(self) -> int:
        """Symbols in all, the two special ones included."""
        return len(self.words) + SPECIAL

    def encode(self, text: str) -> np.ndarray:
        """Symbols of a text, int64 [N]; a word never seen gives the unknown symbol."""
        words = split_words(text.lower() if self.lowercase else text)
        return np.array([self._symbol_of.get(word, UNKNOWN) for word in words], np.int64)

    def decode(self, symbols: Iterable[int]) -> str:
        """The words of symbols with a space between; the special ones give nothing."""
        return " ".join(self.words[s - SPECIAL] for s in symbols if s >= SPECIAL)
