"""Rows of unequal length in batches of nearly equal length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from echoic.errors import OptionError

POOL = 50  # batches whose rows are sorted together: larger pads less and mixes less
WIDTH = 1.25  # longest to shortest row of a bucket of long rows


class LengthBuckets:
    """Batches of whole rows, in an order fixed by the seed and the number of the epoch.

    The rows are shuffled, pooled, sorted by length within a pool and cut into batches; the batches are shuffled. Rows
    too long for a batch of ``batch_size`` within ``max_steps`` stand in buckets of similar length with smaller batches,
    a single row at the least. Each epoch has the same number of batches.

    Args:
        lengths: steps of each row, [N].
        collate: makes a batch of the rows with the given numbers, int64 [B].
        batch_size: rows in a batch at most.
        seed: of the order.
        shuffle: False gives the rows from short to long, the same in every epoch.
        max_steps: rows times longest length of a batch at most, which bounds the memory; None for no bound. A row
            longer than this makes a batch of its own.
    """

    def __init__(
        self,
        lengths: Sequence[int] | np.ndarray,
        collate: Callable[[np.ndarray], Any],
        batch_size: int,
        seed: int = 0,
        shuffle: bool = True,
        max_steps: int | None = None,
    ) -> None:
        if batch_size < 1 or (max_steps is not None and max_steps < 1):
            raise OptionError(f"batch_size and max_steps: found {batch_size} and {max_steps}, expected at least 1.")
        self.lengths = np.asarray(lengths, np.int64)
        self.collate, self.batch_size, self.seed, self.shuffle = collate, batch_size, seed, shuffle
        self.max_steps = max_steps
        longest = np.inf if max_steps is None else max_steps // batch_size
        self._short = np.flatnonzero(self.lengths <= longest)
        self._buckets = self._cut_in_buckets(np.flatnonzero(self.lengths > longest))

    def __len__(self) -> int:
        """Batches in an epoch."""
        return len(self._first)

    def epoch(self, number: int, start: int = 0) -> Iterator[Any]:
        """Batches of epoch ``number``, beginning with batch ``start``."""
        for rows in self.rows_of_epoch(number)[start:]:
            yield self.collate(rows)

    @property
    def padding_share(self) -> float:
        """Share of the steps of all batches (of the first epoch) that are padding."""
        steps = sum(len(rows) * int(self.lengths[rows].max()) for rows in self._first)
        return 1 - int(self.lengths.sum()) / steps if steps else 0.0

    def rows_of_epoch(self, number: int) -> list[np.ndarray]:
        """Numbers of the rows of each batch."""
        random = np.random.default_rng((self.seed, number)) if self.shuffle else None
        batches = self._pooled(random)
        for bucket, size in self._buckets:
            rows = bucket if random is None else random.permutation(bucket)
            batches += _cut(rows, size)
        if random is not None:
            batches = [batches[i] for i in random.permutation(len(batches))]
        return batches

    @cached_property
    def _first(self) -> list[np.ndarray]:
        return self.rows_of_epoch(0)

    def _pooled(self, random: np.random.Generator | None) -> list[np.ndarray]:
        if random is None:
            return _cut(self._by_length(self._short), self.batch_size)
        pools = _cut(random.permutation(self._short), POOL * self.batch_size)
        return [rows for pool in pools for rows in _cut(self._by_length(pool), self.batch_size)]

    def _by_length(self, rows: np.ndarray) -> np.ndarray:
        return rows[np.argsort(self.lengths[rows], kind="stable")]

    def _cut_in_buckets(self, rows: np.ndarray) -> list[tuple[np.ndarray, int]]:
        """Rows from short to long in buckets no wider than WIDTH, each with its batch size."""
        buckets = []
        rows = self._by_length(rows)
        while len(rows):
            end = int(np.searchsorted(self.lengths[rows], self.lengths[rows[0]] * WIDTH, side="right"))
            longest = int(self.lengths[rows[end - 1]])
            assert self.max_steps is not None
            buckets.append((rows[:end], max(1, self.max_steps // longest)))
            rows = rows[end:]
        return buckets


def _cut(rows: np.ndarray, size: int) -> list[np.ndarray]:
    return [rows[i : i + size] for i in range(0, len(rows), size)]
