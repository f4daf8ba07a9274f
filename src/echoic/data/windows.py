"""Windows over a panel: what the model sees, and what it is to forecast, gathered for a whole batch at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from torch import Tensor

from echoic.data.panel import Panel, Part
from echoic.data.wording import counted
from echoic.errors import DataError


class WindowBatch(NamedTuple):
    """B windows of L past and H future steps of C targets; all floats are float32.

    past_values: [B, L, C]; 0 before a series begins.
    past_observed: [B, L, C] bool; False where a value was filled in, and before the series begins.
    future_values: [B, H, C]; filled in where not observed.
    future_observed: [B, H, C] bool: the targets that count in the loss.
    past_known: [B, L, K]; future_known: [B, H, K]: calendar features, then covariates known in the future.
    past_only: [B, L, P]: covariates known in the past.
    static_codes: [B, Q] int64; static_numbers: [B, R].
    series: [B] int64, which series of the panel.
    position: [B] int64, row within the series of the first future step.
    """

    past_values: Tensor
    past_observed: Tensor
    future_values: Tensor
    future_observed: Tensor
    past_known: Tensor
    future_known: Tensor
    past_only: Tensor
    static_codes: Tensor
    static_numbers: Tensor
    series: Tensor
    position: Tensor


@dataclass(frozen=True)
class Sampling:
    """How the windows of a training epoch are drawn.

    seed: the order of epoch e depends on (seed, e) alone.
    samples: windows in an epoch, drawn evenly over the series and then over the windows of the series; None: each
        window once.
    """

    seed: int = 0
    samples: int | None = None


class Windows:
    """Batches of windows (see ``training.contract.Batches``).

    Args:
        part: the panel and the rows that may be targets.
        lookback: L, past steps a window shows. A shorter past is padded in front and marked as not observed.
        horizon: H, future steps.
        batch_size: windows in a batch.
        stride: rows from one window of a series to the next; the last window always ends at the end of the part.
        sampling: order of training; None keeps the order of series and time.
        minimum_history: rows of the past a window must have. By default one for held-out parts; for parts that begin
            with the series, half of what its last window has, and not more than ``lookback``.

    Raises DataError if no series is long enough for a window.
    """

    def __init__(
        self,
        part: Part,
        lookback: int,
        horizon: int,
        batch_size: int,
        stride: int = 1,
        sampling: Sampling | None = None,
        minimum_history: int | None = None,
    ) -> None:
        self.panel, self.lookback, self.horizon, self.batch_size = part.panel, lookback, horizon, batch_size
        self.sampling = sampling
        self.rows = _window_rows(part, lookback, horizon, stride, minimum_history)
        if len(self.rows) == 0:
            longest = int(part.lengths.max(initial=0))
            raise DataError(
                part.panel.source, f"at most {counted(longest, 'row')} of a series in this part of the data",
                f"at least {horizon + 1 if not part.begin.any() else horizon} with observed values",
                "Give longer series, or a smaller --horizon, or another split.",
            )  # fmt: skip
        self._first = np.searchsorted(self.rows, part.panel.offsets)  # windows of series s: _first[s] to _first[s + 1]

    @property
    def count(self) -> int:
        """Number of windows."""
        return len(self.rows)

    @property
    def padding_share(self) -> float:
        """Share of past steps that lie before the beginning of their series."""
        position = self.rows - self.panel.offsets[self._series(self.rows)]
        return float(np.maximum(self.lookback - position, 0).sum() / (len(self.rows) * self.lookback))

    def __len__(self) -> int:
        """Batches in one epoch."""
        windows = self.sampling.samples if self.sampling and self.sampling.samples else self.count
        return -(-windows // self.batch_size)

    def epoch(self, number: int, start: int = 0) -> Iterator[WindowBatch]:
        """Batches of epoch ``number``, beginning with batch ``start``."""
        order = self._order(number)
        for first in range(start * self.batch_size, len(order), self.batch_size):
            yield self.gather(self.rows[order[first : first + self.batch_size]])

    def _order(self, number: int) -> NDArray[np.int64]:
        if self.sampling is None:
            return np.arange(self.count)
        random = np.random.default_rng([self.sampling.seed, number])
        if self.sampling.samples is None:
            return random.permutation(self.count)
        sizes = np.diff(self._first)
        filled = np.flatnonzero(sizes)
        chosen = filled[random.integers(len(filled), size=self.sampling.samples)]
        return self._first[chosen] + random.integers(sizes[chosen])

    def _series(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        # The row of the first target may be one past the panel's end only if horizon were 0, so it names its series.
        return np.searchsorted(self.panel.offsets, rows, side="right") - 1

    def gather(self, rows: NDArray[np.int64]) -> WindowBatch:
        """The windows whose first target lies in these rows of the flat arrays."""
        panel, past = self.panel, self.lookback
        series = self._series(rows)
        position = rows - panel.offsets[series]
        start, width = rows - past, past + self.horizon
        values, observed = _slices(panel.values, start, width), _slices(panel.observed, start, width)
        known, only = _slices(panel.known, start, width), _slices(panel.past, start, past)
        if position.min() < past:
            inside = (np.arange(past) >= (past - position)[:, None])[:, :, None]  # [B, L, 1]
            for array in (values, observed, known, only):
                array[:, :past] *= inside
        arrays = (
            values[:, :past], observed[:, :past], values[:, past:], observed[:, past:],
            known[:, :past], known[:, past:], only,
            panel.static_codes[series], panel.static_numbers[series], series, position,
        )  # fmt: skip
        return WindowBatch(*(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays))


def _slices(array: NDArray, start: NDArray[np.int64], width: int) -> NDArray:
    """Rows start to start + width of an array [N, F], for many starts at once: [B, width, F]. Copies.

    Blocks of memory are copied whole, which is several times faster than an index for every row. Rows before the first
    (a negative start) hold anything.
    """
    if array.shape[1] == 0 or len(array) < width:
        return array[np.maximum(start[:, None] + np.arange(width), 0)]
    blocks = sliding_window_view(array, (width, array.shape[1]))[:, 0]
    slices = blocks[np.maximum(start, 0)]
    early = np.flatnonzero(start < 0)
    if len(early):
        slices[early] = array[np.maximum(start[early, None] + np.arange(width), 0)]
    return slices


def forecast_windows(panel: Panel, lookback: int, horizon: int, batch_size: int) -> Windows:
    """One window for each series of ``panel.future(horizon)``: its last rows are what is to be forecast."""
    windows = Windows.__new__(Windows)
    windows.panel, windows.lookback, windows.horizon, windows.batch_size = panel, lookback, horizon, batch_size
    windows.sampling = None
    windows.rows = panel.offsets[1:] - horizon
    windows._first = np.arange(len(panel) + 1)
    return windows


def _window_rows(part: Part, lookback: int, horizon: int, stride: int, minimum: int | None) -> NDArray[np.int64]:
    """Flat row of the first target of each window, ascending: series by series, in time."""
    panel = part.panel
    last = part.end - horizon
    if minimum is None:
        needed = np.where(part.begin > 0, 1, np.clip(last // 2, 1, lookback))
    else:
        needed = np.full(len(panel), minimum)
    first = np.maximum(part.begin, needed)
    counts = np.maximum((last - first) // stride + 1, 0)
    # Counted back from the end, so that a stride wider than one still scores the last rows.
    start = last - (counts - 1) * stride
    ends = np.cumsum(counts)
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
    rows = np.repeat(panel.offsets[:-1] + start, counts) + within * stride
    return rows[_useful(panel, rows, lookback, horizon)]


def _useful(panel: Panel, rows: NDArray[np.int64], lookback: int, horizon: int) -> NDArray[np.bool_]:
    """Windows with an observed value both in their past and in their future."""
    if panel.observed.all():
        return np.ones(len(rows), dtype=bool)
    seen = np.concatenate([[0], np.cumsum(panel.observed.any(axis=1))])
    series = np.searchsorted(panel.offsets, rows, side="right") - 1
    begin = np.maximum(rows - lookback, panel.offsets[series])
    return (seen[rows] > seen[begin]) & (seen[rows + horizon] > seen[rows])
