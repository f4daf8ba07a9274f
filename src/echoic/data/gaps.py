"""Missing rows, missing values and repeated stamps: what is put in their place, and how it is marked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Index = NDArray[np.int64]


def fill_forward(values: Floats, known: NDArray[np.bool_], begin: Index) -> Floats:
    """The last value before; before the first value of a series, the first. Looks ahead only there.

    Args:
        values: [N] of all series one after the other.
        known: [N], which of them are there.
        begin: [N], row at which the series of each row begins.
    """
    before, after = _neighbours(known, begin)
    source = np.where(before >= begin, before, after)
    return np.where(source >= 0, values[np.maximum(source, 0)], 0).astype(np.float32)


def interpolate(values: Floats, known: NDArray[np.bool_], begin: Index) -> Floats:
    """A straight line between the values before and after the gap: it looks ahead to the end of the gap."""
    before, after = _neighbours(known, begin)
    inside = (before >= begin) & (after >= 0) & (after > before)
    left, right = np.where(inside, before, 0), np.where(inside, after, 1)
    share = (np.arange(len(values)) - left) / np.maximum(right - left, 1)
    line = values[left] * (1 - share) + values[np.minimum(right, len(values) - 1)] * share
    return np.where(inside, line, fill_forward(values, known, begin)).astype(np.float32)


def fill_zero(values: Floats, known: NDArray[np.bool_], begin: Index) -> Floats:
    """Zero: for counts, where no row means that nothing happened."""
    return np.where(known, values, 0).astype(np.float32)


FILLS: dict[str, Callable[[Floats, NDArray[np.bool_], Index], Floats]] = {
    "forward": fill_forward,
    "interpolate": interpolate,
    "zero": fill_zero,
}


def fill(values: Floats, offsets: Index, policy: str) -> Floats:
    """Values [N, C] with every NaN replaced, column by column; a column of a series without any value becomes 0."""
    filled = np.empty_like(values)
    begin = np.repeat(offsets[:-1], np.diff(offsets))
    for column in range(values.shape[1]):
        known = ~np.isnan(values[:, column])
        filled[:, column] = values[:, column] if known.all() else FILLS[policy](values[:, column], known, begin)
    return filled


def history_of(observed: NDArray[np.bool_], offsets: Index) -> Index:
    """Rows of each series up to its last with an observed value, [S], from observed [N, C]."""
    rows = np.where(observed.any(axis=1), np.arange(1, len(observed) + 1), 0)
    return np.maximum(np.maximum.reduceat(rows, offsets[:-1]) - offsets[:-1], 0)


def _neighbours(known: NDArray[np.bool_], begin: Index) -> tuple[Index, Index]:
    """Row of the last known value at or before each row (may lie in an earlier series), and of the first at or after
    it within the series (-1 if there is none)."""
    rows = np.arange(len(known))
    before = np.maximum.accumulate(np.where(known, rows, -1))
    beyond = len(known)
    after = np.minimum.accumulate(np.where(known, rows, beyond)[::-1])[::-1]
    same = begin[np.minimum(after, beyond - 1)] == begin
    return before, np.where((after < beyond) & same, after, -1)


def _first_rows(same: NDArray[np.bool_]) -> Index:
    return np.flatnonzero(np.concatenate([[True], ~same]))


def mean_of(values: Floats, same: NDArray[np.bool_]) -> Floats:
    """The mean of the values that are there; NaN where none is."""
    first = _first_rows(same)
    there = np.add.reduceat((~np.isnan(values)).astype(np.float32), first, axis=0)
    total = np.add.reduceat(np.nan_to_num(values), first, axis=0)
    return np.where(there > 0, total / np.maximum(there, 1), np.nan).astype(np.float32)


def sum_of(values: Floats, same: NDArray[np.bool_]) -> Floats:
    """The sum of the values that are there; NaN where none is."""
    first = _first_rows(same)
    there = np.add.reduceat(~np.isnan(values), first, axis=0)
    return np.where(there, np.add.reduceat(np.nan_to_num(values), first, axis=0), np.nan).astype(np.float32)


def last_of(values: Floats, same: NDArray[np.bool_]) -> Floats:
    """The row that comes last in the table."""
    return values[np.concatenate([_first_rows(same)[1:], [len(values)]]) - 1]


MERGES: dict[str, Callable[[Floats, NDArray[np.bool_]], Floats]] = {"mean": mean_of, "sum": sum_of, "last": last_of}
"""How rows of one series and stamp become one: of values [N, C], and [N - 1] whether a row repeats the one before."""
