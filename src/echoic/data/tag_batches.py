"""Tagged sentences ready for a model, and batches of them in which each distinct word is spelled out once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from echoic.data.batching import LengthBuckets
from echoic.data.tagged import Sentences
from echoic.data.tokens import TokenVocabulary, WordTypes

NO_TAG = -1


class TagBatch(NamedTuple):
    """Sentences of a batch. U is the number of distinct words in it.

    tokens: which of the distinct words each token is, 0 past a row's length, int64 [B, T].
    words, vectors: number and row of vectors of each distinct word, int64 [U].
    characters: [U, L]. spelled: symbols of each distinct word, int64 [U]. affixes: int64 [U, A].
    lengths: tokens of each row, int64 [B].
    tags: number of each token's tag, -1 past a row's length or where it has none, int64 [B, T].
    intents: class of each row, -1 where it has none, int64 [B].
    rows: number of each row in its part, int64 [B].
    """

    tokens: Tensor
    words: Tensor
    vectors: Tensor
    characters: Tensor
    spelled: Tensor
    affixes: Tensor
    lengths: Tensor
    tags: Tensor
    intents: Tensor
    rows: Tensor


@dataclass(frozen=True)
class Tagged:
    """A part of the data.

    sentences: as they came.
    types: its distinct words as numbers.
    tokens: which of the distinct words each token is, int64 [T] for each sentence.
    tags: number of each token's tag, int64 [T] for each sentence, -1 where there is none.
    intents: class of each sentence, int64 [N], -1 where there is none.
    """

    sentences: Sentences
    types: WordTypes
    tokens: list[np.ndarray]
    tags: list[np.ndarray]
    intents: np.ndarray

    @classmethod
    def of(
        cls,
        sentences: Sentences,
        vocabulary: TokenVocabulary,
        tags: Sequence[np.ndarray] | None,
        intents: np.ndarray | None,
    ) -> Self:
        """Numbers of sentences; tags and intents None where there are none."""
        number_of: dict[str, int] = {}
        tokens = [
            np.array([number_of.setdefault(word, len(number_of)) for word in words], np.int64)
            for words in sentences.tokens
        ]
        none = [np.full(len(words), NO_TAG, np.int64) for words in tokens]
        return cls(
            sentences,
            vocabulary.encode(list(number_of)),
            tokens,
            none if tags is None else list(tags),
            np.full(len(tokens), NO_TAG, np.int64) if intents is None else intents,
        )

    def __len__(self) -> int:
        return len(self.tokens)

    def batches(self, batch_size: int, max_steps: int, seed: int, shuffle: bool) -> LengthBuckets:
        """Batches of sentences of similar length, see ``LengthBuckets``."""
        return LengthBuckets([len(t) for t in self.tokens], self.collate, batch_size, seed, shuffle, max_steps)

    def collate(self, rows: np.ndarray) -> TagBatch:
        """A batch of the sentences with these numbers."""
        lengths = np.array([len(self.tokens[row]) for row in rows], np.int64)
        longest = max(1, int(lengths.max()))
        inside = np.arange(longest) < lengths[:, None]
        types, places = np.unique(np.concatenate([self.tokens[row] for row in rows]), return_inverse=True)
        tokens = np.zeros((len(rows), longest), np.int64)
        tags = np.full((len(rows), longest), NO_TAG, np.int64)
        tokens[inside] = places
        tags[inside] = np.concatenate([self.tags[row] for row in rows])
        spelled = self.types.lengths[types]
        arrays = (
            tokens, self.types.words[types], self.types.vectors[types],
            np.ascontiguousarray(self.types.characters[types, : int(spelled.max())]), spelled,
            self.types.affixes[types], lengths, tags, self.intents[rows], np.asarray(rows, np.int64),
        )  # fmt: skip
        return TagBatch(*map(torch.from_numpy, arrays))
