"""Pairs of sequences of symbols as a model takes them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from echoic.data.vocabulary import BOUNDARY, UNKNOWN

PAD = UNKNOWN  # fills up short rows; lengths say what is padding, never the symbol
START = END = BOUNDARY  # stands before the first symbol of a target and after the last


class PairBatch(NamedTuple):
    """Rows of a batch of pairs.

    source: symbols, END at the end of each row, int64 [B, S]; PAD past a row's length.
    source_lengths: symbols of each row, END included, int64 [B].
    target_in: START and the symbols of the target, int64 [B, T]; PAD past a row's length.
    target_out: the symbols of the target and END, int64 [B, T]; PAD past a row's length.
    target_lengths: symbols of each row of target_out, END included, int64 [B].
    """

    source: Tensor
    source_lengths: Tensor
    target_in: Tensor
    target_out: Tensor
    target_lengths: Tensor


def pair_batch(sources: list[np.ndarray], targets: list[np.ndarray]) -> PairBatch:
    """A batch of sources and targets, int64 [S] and [T] each, without START and END."""
    start = np.array([START])
    source, source_lengths = padded([np.append(row, END) for row in sources])
    target_in, _ = padded([np.concatenate([start, row]) for row in targets])
    target_out, target_lengths = padded([np.append(row, END) for row in targets])
    return PairBatch(source, source_lengths, target_in, target_out, target_lengths)


def padded(rows: list[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Rows of symbols as one tensor [B, T] with their lengths [B]."""
    lengths = np.array([len(row) for row in rows], np.int64)
    table = np.full((len(rows), max(1, int(lengths.max(initial=0)))), PAD, np.int64)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return torch.from_numpy(table), torch.from_numpy(lengths)
