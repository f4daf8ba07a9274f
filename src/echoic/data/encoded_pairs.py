"""Pairs ready for a model: symbols of both sides, in batches of similar length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from echoic.data.batching import LengthBuckets
from echoic.data.pair_batch import PairBatch, pair_batch
from echoic.data.pairs import Pairs


@dataclass(frozen=True)
class EncodedPairs:
    """A part of the data.

    pairs: as they came.
    sources, targets: symbols of each, int64, without START and END; no targets where they are not known.
    """

    pairs: Pairs
    sources: list[np.ndarray]
    targets: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.sources)

    def take(self, numbers: Sequence[int]) -> EncodedPairs:
        """The pairs with these numbers, in this order."""
        sources, targets = ([side[i] for i in numbers] for side in (self.sources, self.targets))
        return EncodedPairs(self.pairs.take(numbers), sources, targets)

    def batches(self, batch_size: int, max_tokens: int, seed: int, shuffle: bool) -> LengthBuckets:
        """Batches of at most ``batch_size`` pairs and about ``max_tokens`` symbols of the longer side, END included."""
        lengths = [max(len(s), len(t)) + 1 for s, t in zip(self.sources, self.targets, strict=True)]
        collate: Callable[[np.ndarray], PairBatch] = self.collate
        return LengthBuckets(lengths, collate, batch_size, seed, shuffle, max_tokens)

    def collate(self, rows: np.ndarray) -> PairBatch:
        """A batch of the pairs with these numbers."""
        return pair_batch([self.sources[row] for row in rows], [self.targets[row] for row in rows])
