"""Many series of numbers over time in flat arrays: fast for one series of a million rows and for a million series.

Legend: S series, N rows of all series together, C targets, K covariates known in the future (calendar features first),
P covariates known in the past only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from echoic.data.calendar import calendar_features, calendar_names
from echoic.data.columns import Columns
from echoic.data.frequency import Frequency, Stamps
from echoic.data.gaps import history_of
from echoic.data.schema import Schema
from echoic.errors import DataError

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Panel:
    """Series with their covariates, evenly spaced within each series; rows of one series lie together.

    source: where the data came from, for messages.
    schema: how the table was read.
    ids: S rows; the columns that name a series (none for a single series without a name).
    offsets: [S + 1]; series s has the rows offsets[s] to offsets[s + 1].
    stamps: [N].
    values: [N, C]; filled where nothing was observed.
    observed: [N, C]; False where the value was filled in.
    known: [N, K]; known_names: K names.
    past: [N, P]; past_names: P names.
    static_codes: [S, Q] int64 codes of static categories, 0 for one not seen in training; static_sizes: codes in each.
    static_numbers: [S, R].
    """

    source: str
    schema: Schema
    ids: pl.DataFrame
    offsets: NDArray[np.int64]
    stamps: Stamps
    values: Floats
    observed: NDArray[np.bool_]
    known: Floats
    known_names: tuple[str, ...]
    past: Floats
    past_names: tuple[str, ...]
    static_codes: NDArray[np.int64]
    static_sizes: tuple[int, ...]
    static_numbers: Floats

    def __len__(self) -> int:
        """Number of series, S."""
        return len(self.offsets) - 1

    @property
    def columns(self) -> Columns:
        """Which columns of the table the parts of the panel were."""
        return self.schema.columns

    @property
    def frequency(self) -> Frequency:
        """The step between rows."""
        return self.schema.frequency

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Rows of each series, [S]."""
        return np.diff(self.offsets)

    @property
    def targets(self) -> int:
        """Number of targets, C."""
        return self.values.shape[1]

    @cached_property
    def history(self) -> NDArray[np.int64]:
        """Rows of each series up to its last observed value, [S]: later rows hold covariates of the future only."""
        return history_of(self.observed, self.offsets)

    def name(self, series: int) -> str:
        """The name of a series, for messages and plots."""
        return " / ".join(str(value) for value in self.ids.row(series)) if self.ids.width else "the series"

    def rows(self, series: int) -> slice:
        """Where the rows of a series lie in the flat arrays."""
        return slice(int(self.offsets[series]), int(self.offsets[series + 1]))

    def select(self, series: NDArray[np.int64]) -> Panel:
        """The panel of some of the series, in the order given."""
        lengths = self.lengths[series]
        return self._gather(series, np.zeros_like(lengths), lengths)

    def future(self, horizon: int) -> Panel:
        """Each series cut at its last observed value and continued by ``horizon`` rows that are not observed.

        Covariates known in the future are taken from rows the table already has there (rows whose targets are empty),
        calendar features are computed.

        Raises DataError where the table has a known covariate but not for the whole horizon.
        """
        ends = self.history + horizon
        given = np.minimum(self.lengths, ends)
        own = len(calendar_names(self.frequency))
        short = np.flatnonzero(given < ends)
        if len(short) and self.known.shape[1] > own:
            first = int(short[0])
            raise DataError(
                self.source,
                f"{given[first] - self.history[first]} rows after the last value of {self.name(first)}",
                f"{horizon} rows that hold {', '.join(self.columns.known)}",
                f"{self.columns.known[0]} is known in the future: add rows with the times to forecast, its values and "
                f"empty targets for every series ({len(short)} lack them), or train without --known.",
            )
        longer = self._gather(np.arange(len(self)), np.zeros_like(given), given, pad=ends - given)
        new = longer.offsets[1:, None] - np.arange(horizon, 0, -1)  # [S, horizon]
        last = self.stamps[self.offsets[:-1] + np.maximum(self.history - 1, 0)]
        steps = np.broadcast_to(np.arange(1, horizon + 1), new.shape)
        longer.stamps[new] = self.frequency.stamp(np.broadcast_to(last[:, None], new.shape), steps)
        rows = new.ravel()
        longer.known[rows, :own] = calendar_features(longer.stamps[rows], self.frequency)
        longer.observed[rows] = False
        longer.values[rows] = 0
        return longer

    def _gather(self, series: NDArray, begin: NDArray, lengths: NDArray, pad: NDArray | None = None) -> Panel:
        """Rows begin to begin + lengths of the series, each followed by ``pad`` rows of zeros. Copies."""
        pad = np.zeros_like(lengths) if pad is None else pad
        offsets = np.concatenate([[0], np.cumsum(lengths + pad)]).astype(np.int64)
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths + pad)
        empty = within >= np.repeat(lengths, lengths + pad)
        source = np.where(empty, 0, within + np.repeat(self.offsets[:-1][series] + begin, lengths + pad))

        def rows(array: NDArray) -> NDArray:
            taken = array[source]
            taken[empty] = 0
            return taken

        return replace(
            self, ids=self.ids[series] if self.ids.width else self.ids, offsets=offsets, stamps=rows(self.stamps),
            values=rows(self.values), observed=rows(self.observed), known=rows(self.known), past=rows(self.past),
            static_codes=self.static_codes[series], static_numbers=self.static_numbers[series],
        )  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A panel and, for each series, the rows whose values may be forecast; earlier rows serve as inputs only.

    panel: all rows.
    begin: [S], row within the series of the first target.
    end: [S], one past the row of the last target.
    """

    panel: Panel
    begin: NDArray[np.int64]
    end: NDArray[np.int64]

    @classmethod
    def whole(cls, panel: Panel) -> Part:
        """Everything that was observed may be a target."""
        return cls(panel, np.zeros(len(panel), dtype=np.int64), panel.history)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Rows that may be targets, [S]."""
        return np.maximum(self.end - self.begin, 0)

    def __len__(self) -> int:
        """Number of series that have such rows."""
        return int(np.count_nonzero(self.lengths))
