"""Examples ready for a model: symbols or scaled numbers, with the number of their class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from echoic.data.batching import LengthBuckets
from echoic.data.examples import Examples


class SequenceBatch(NamedTuple):
    """Rows of a batch.

    inputs: symbols, int64 [B, T], or numbers, float32 [B, T, F]; 0 past a row's length.
    lengths: steps of each row, int64 [B].
    labels: class of each row, -1 where it has none, int64 [B].
    rows: number of each row in its part, int64 [B].
    """

    inputs: Tensor
    lengths: Tensor
    labels: Tensor
    rows: Tensor


@dataclass(frozen=True)
class Classified:
    """A part of the data.

    examples: as they came.
    inputs: symbols, int64 [T], or scaled numbers, float32 [T, F], of each.
    labels: class of each, -1 where it has none, int64 [N].
    """

    examples: Examples
    inputs: list[np.ndarray]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)

    def batches(self, batch_size: int, max_steps: int, seed: int, shuffle: bool) -> LengthBuckets:
        """Batches of rows of similar length, see ``LengthBuckets``."""
        lengths = [len(values) for values in self.inputs]
        collate: Callable[[np.ndarray], SequenceBatch] = self.collate
        return LengthBuckets(lengths, collate, batch_size, seed, shuffle, max_steps)

    def collate(self, rows: np.ndarray) -> SequenceBatch:
        """A batch of the rows with these numbers."""
        chosen = [self.inputs[row] for row in rows]
        lengths = np.array([len(values) for values in chosen], np.int64)
        first = chosen[0]
        padded = np.zeros((len(chosen), max(1, int(lengths.max())), *first.shape[1:]), first.dtype)
        for place, values in enumerate(chosen):
            padded[place, : len(values)] = values
        return SequenceBatch(*map(torch.from_numpy, (padded, lengths, self.labels[rows], np.asarray(rows, np.int64))))
