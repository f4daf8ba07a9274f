"""Rows of a table on their way to a panel: repeats taken together, the step found, gaps opened and filled."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from echoic.data.frequency import BusinessStep, Frequency, IrregularStep, Stamps, infer_frequency
from echoic.data.gaps import MERGES, fill, history_of
from echoic.data.table import Table
from echoic.data.times import TimeFormat
from echoic.data.wording import counted
from echoic.notices import notice

Index = NDArray[np.int64]
Floats = NDArray[np.float32]
LARGEST_GRID = 20  # times the rows of the table, after gaps are filled


@dataclass(frozen=True)
class Rows:
    """Rows by series, then time.

    series: [N]; stamps: [N].
    features: [N, F], targets, then known, then past covariates, with NaN where missing.
    origin: [N], record of the table each row comes from.
    table: the table, for messages; time_format: how it writes its times.
    """

    series: Index
    stamps: Stamps
    features: Floats
    origin: Index
    table: Table
    time_format: TimeFormat

    @property
    def offsets(self) -> Index:
        """Where each series begins, [S + 1]; every series has a row."""
        return np.concatenate([[0], np.flatnonzero(np.diff(self.series)) + 1, [len(self.series)]]).astype(np.int64)

    def merged(self, policy: str, remedy: str) -> Rows:
        """With rows of the same series and time taken together by a policy of ``gaps.MERGES``.

        Raises DataError naming the first two of them where the policy is "error".
        """
        same = (np.diff(self.stamps) == 0) & (np.diff(self.series) == 0)
        if not same.any():
            return self
        repeats = counted(int(same.sum()), "repeated row")
        if policy == "error":
            first, second = self.origin[np.flatnonzero(same)[0] + np.arange(2)]
            stamp = self.time_format.say(int(self.stamps[np.flatnonzero(same)[0]]))
            raise self.table.error(
                int(second), None, f"{stamp} again after row {self.table.row(int(first))} ({repeats} in all)",
                "one row for each series and time", remedy,
            )  # fmt: skip
        notice(f"{self.table.source}: {repeats} of a series and time, taken together ({policy}).")
        kept = np.concatenate([[True], ~same])
        return replace(
            self, series=self.series[kept], stamps=self.stamps[kept], features=MERGES[policy](self.features, same),
            origin=self.origin[kept],
        )  # fmt: skip

    def step(self) -> Frequency:
        """The step that the rows show; said where it is not a plain one."""
        frequency = infer_frequency(self.stamps, self.offsets, self.time_format.dated)
        source = self.table.source
        if isinstance(frequency, IrregularStep):
            notice(f"{source}: rows have no common step in time; each row is taken as one step.")
        elif isinstance(frequency, BusinessStep) and frequency.holidays:
            days = counted(len(frequency.holidays), "weekday")
            notice(f"{source}: business days; {days} without any row are taken as holidays.")
        return frequency

    def check_step(self, frequency: Frequency) -> None:
        """DataError for the first row that does not lie a whole number of steps after the start of its series."""
        if frequency.dated != self.time_format.dated:
            kinds = ("whole numbers", "dates")
            raise self.table.error(
                None,
                None,
                kinds[self.time_format.dated],
                f"{kinds[frequency.dated]} in {frequency.name} steps",
                "Give times that fit the step, or name another column with --time.",
            )
        if isinstance(frequency, IrregularStep):
            return
        starts = np.repeat(self.stamps[self.offsets[:-1]], np.diff(self.offsets))
        off = frequency.stamp(starts, frequency.count(self.stamps, starts)) != self.stamps
        if off.any():
            place = int(np.argmax(off))
            say = self.time_format.say
            raise self.table.error(
                int(self.origin[place]), None, say(int(self.stamps[place])),
                f"{frequency.name} steps from {say(int(starts[place]))}",
                "Correct the time, or pass the --frequency that the table has.",
            )  # fmt: skip

    def on_grid(self, frequency: Frequency) -> tuple[Stamps, Index, Floats]:
        """Stamps, offsets and features with a row for every step from a series' first to its last; NaN in new rows."""
        offsets, count = self.offsets, len(self.stamps)
        if isinstance(frequency, IrregularStep):
            return self.stamps, offsets, self.features
        starts = self.stamps[offsets[:-1]]
        lengths = frequency.count(self.stamps[offsets[1:] - 1], starts) + 1
        total = int(lengths.sum())
        if total == count:
            return self.stamps, offsets, self.features
        if total > LARGEST_GRID * count + 1000:
            widest = self.time_format.say(int(starts[np.argmax(lengths - np.diff(offsets))]))
            raise self.table.error(
                None, None, f"{counted(count, 'row')} over {total:,} steps", f"few gaps at {frequency.name} steps",
                f"Check the times of the series that begins {widest}, or pass another --frequency.",
            )  # fmt: skip
        new = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        place = frequency.count(self.stamps, np.repeat(starts, np.diff(offsets)))
        features = np.full((total, self.features.shape[1]), np.nan, dtype=np.float32)
        features[place + np.repeat(new[:-1], np.diff(offsets))] = self.features
        stamps = frequency.stamp(np.repeat(starts, lengths), np.arange(total) - np.repeat(new[:-1], lengths))
        gapped = int(np.count_nonzero(lengths > np.diff(offsets)))
        added = counted(total - count, "missing row")
        notice(f"{self.table.source}: {added} ({frequency.name}) put in, in {gapped:,} of {len(starts):,} series.")
        return stamps, new, features


def filled(features: Floats, targets: int, offsets: Index, policy: str, source: str) -> Floats:
    """Features [N, F] without NaN, the first ``targets`` of them targets; how many were filled is said.

    Empty targets after the last one of a series are no gap: these rows hold the covariates of the future.
    """
    missing = np.isnan(features)
    if not missing.any():
        return features
    length = np.diff(offsets)
    within = np.arange(len(features)) - np.repeat(offsets[:-1], length)
    past = within < np.repeat(history_of(~missing[:, :targets], offsets), length)
    counts = int(missing[past, :targets].sum()), int(missing[:, targets:].sum())
    parts = [counted(n, noun) for n, noun in zip(counts, ("target value", "covariate value"), strict=True) if n]
    if parts:
        notice(f"{source}: {' and '.join(parts)} missing; filled ({policy}), targets not counted in the loss.")
    return fill(features, offsets, policy)
