"""How far apart the rows of a series lie: the step, its name, its season, and how stamps go on after the last.

A stamp is an int64: microseconds since 1970 for dates and times (wall clock, no zone), the number itself for integer
time. Each kind of step counts steps from the start of a series and turns counts back into stamps.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

Stamps = NDArray[np.int64]

SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
WEEK = 7 * DAY
UNITS = ((WEEK, "week"), (DAY, "day"), (HOUR, "hour"), (MINUTE, "minute"), (SECOND, "second"), (1, "microsecond"))
SINGLE = {"week": "weekly", "day": "daily", "hour": "hourly", "minute": "minutely", "second": "secondly"}


class _Step(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def dated(self) -> bool:
        """Whether stamps are dates and times."""
        return True

    def refit(self, stamps: Stamps) -> Self:
        """The same step for other data; only business days take their holidays anew."""
        return self


class FixedStep(_Step):
    """A fixed time: weeks, days, hours, minutes, seconds.

    Args:
        microseconds: length of the step.
    """

    kind: Literal["fixed"] = "fixed"
    microseconds: int = Field(ge=1)

    @property
    def name(self) -> str:
        """For people, and for M4's table of seasons: hourly, daily, weekly, or "every 5 minutes"."""
        size, unit = next((size, unit) for size, unit in UNITS if self.microseconds % size == 0)
        count = self.microseconds // size
        return SINGLE.get(unit, unit) if count == 1 else f"every {count} {unit}s"

    @property
    def season(self) -> int:
        """Steps after which the values tend to repeat: a minute (of seconds), a day (of hours), a week (of days)."""
        if self.microseconds < MINUTE:
            return max(1, MINUTE // self.microseconds)
        if self.microseconds < DAY:
            return max(1, DAY // self.microseconds)
        return 7 if self.microseconds == DAY else 1

    def count(self, stamps: Stamps, starts: Stamps) -> NDArray[np.int64]:
        """Whole steps from each start to each stamp."""
        return (stamps - starts) // self.microseconds

    def stamp(self, starts: Stamps, steps: NDArray[np.int64]) -> Stamps:
        """The stamp so many steps after each start."""
        return starts + steps * self.microseconds


class MonthStep(_Step):
    """One or several months: monthly, quarterly, yearly.

    Args:
        months: length of the step.
        month_end: stamps are last days of months; otherwise they keep the day of the month of the series' start.
    """

    kind: Literal["months"] = "months"
    months: int = Field(ge=1)
    month_end: bool = False

    @property
    def name(self) -> str:
        """Monthly, quarterly, yearly, or "every 2 months"."""
        return {1: "monthly", 3: "quarterly", 12: "yearly"}.get(self.months, f"every {self.months} months")

    @property
    def season(self) -> int:
        """Steps in a year."""
        return max(1, 12 // self.months)

    def count(self, stamps: Stamps, starts: Stamps) -> NDArray[np.int64]:
        """Whole steps from each start to each stamp."""
        return (month_number(stamps) - month_number(starts)) // self.months

    def stamp(self, starts: Stamps, steps: NDArray[np.int64]) -> Stamps:
        """The stamp so many steps after each start; the 31st becomes the last day of a shorter month."""
        month = month_number(starts) + steps * self.months
        first, length = month_start(month), month_start(month + 1) - month_start(month)
        into = starts - month_start(month_number(starts))
        day, clock = into // DAY, into % DAY
        last = length // DAY - 1
        day = np.broadcast_to(last, np.shape(first)) if self.month_end else np.minimum(day, last)
        return first + day * DAY + clock


class BusinessStep(_Step):
    """Monday to Friday without holidays.

    Args:
        holidays: days since 1970, ascending: weekdays on which no series of the data has a row.
    """

    kind: Literal["business"] = "business"
    holidays: tuple[int, ...] = ()
    name: str = "business-daily"
    season: int = 5

    def refit(self, stamps: Stamps) -> Self:
        """With the holidays that other data show."""
        return type(self)(holidays=missing_weekdays(stamps))

    def _holidays(self) -> NDArray[np.datetime64]:
        return np.array(self.holidays, dtype="datetime64[D]")

    def count(self, stamps: Stamps, starts: Stamps) -> NDArray[np.int64]:
        """Business days from each start to each stamp."""
        return np.busday_count(day_of(starts), day_of(stamps), holidays=self._holidays()).astype(np.int64)

    def stamp(self, starts: Stamps, steps: NDArray[np.int64]) -> Stamps:
        """The stamp so many business days after each start, at the same time of day."""
        day = np.busday_offset(day_of(starts), steps, roll="forward", holidays=self._holidays())
        return day.astype("datetime64[us]").astype(np.int64) + starts % DAY


class IntegerStep(_Step):
    """Time is a whole number: row numbers, years without dates, counters.

    Args:
        size: difference of one step.
    """

    kind: Literal["integer"] = "integer"
    size: int = Field(default=1, ge=1)
    season: int = 1

    @property
    def dated(self) -> bool:
        """Integer time has no calendar."""
        return False

    @property
    def name(self) -> str:
        """For people."""
        return "steps of 1" if self.size == 1 else f"steps of {self.size}"

    def count(self, stamps: Stamps, starts: Stamps) -> NDArray[np.int64]:
        """Whole steps from each start to each stamp."""
        return (stamps - starts) // self.size

    def stamp(self, starts: Stamps, steps: NDArray[np.int64]) -> Stamps:
        """The number so many steps after each start."""
        return starts + steps * self.size


class IrregularStep(_Step):
    """No common step: each row is one step, whatever time lies between. Stamps go on by the median distance.

    Args:
        typical: median distance of rows, in microseconds, or as a number for integer time.
        is_dated: stamps are dates and times.
    """

    kind: Literal["irregular"] = "irregular"
    typical: int = Field(ge=1)
    is_dated: bool = True
    name: str = "irregular"
    season: int = 1

    @property
    def dated(self) -> bool:
        """Whether stamps are dates and times."""
        return self.is_dated

    def count(self, stamps: Stamps, starts: Stamps) -> NDArray[np.int64]:
        """Rounded number of typical distances; rows of irregular series are never placed by it."""
        return np.rint((stamps - starts) / self.typical).astype(np.int64)

    def stamp(self, starts: Stamps, steps: NDArray[np.int64]) -> Stamps:
        """The stamp so many typical distances after each start."""
        return starts + steps * self.typical


Frequency = Annotated[
    FixedStep | MonthStep | BusinessStep | IntegerStep | IrregularStep, Field(discriminator="kind")
]  # in a pydantic model this reads back the right kind

ALIASES: dict[str, FixedStep | MonthStep | BusinessStep | IntegerStep] = {
    "secondly": FixedStep(microseconds=SECOND),
    "minutely": FixedStep(microseconds=MINUTE),
    "hourly": FixedStep(microseconds=HOUR),
    "daily": FixedStep(microseconds=DAY),
    "weekly": FixedStep(microseconds=WEEK),
    "monthly": MonthStep(months=1),
    "quarterly": MonthStep(months=3),
    "yearly": MonthStep(months=12),
    "business-daily": BusinessStep(),
    "integer": IntegerStep(),
}


def infer_frequency(stamps: Stamps, offsets: NDArray[np.int64], dated: bool = True) -> Frequency:
    """The step of a panel, from the stamps of its rows.

    Args:
        stamps: [N], ascending and distinct within each series.
        offsets: [S + 1], where each series begins.
        dated: stamps are microseconds; otherwise plain integers.

    Returns an IrregularStep where no step fits, or where filling the gaps would make more than ten times the rows.
    """
    inner = np.ones(max(0, len(stamps) - 1), dtype=bool)
    inner[offsets[1:-1] - 1] = False
    steps = np.diff(stamps)[inner]
    if len(steps) == 0:
        return FixedStep(microseconds=DAY) if dated else IntegerStep()
    span = int((stamps[offsets[1:] - 1] - stamps[offsets[:-1]]).sum())
    usual = _most_common(steps)
    common = _common_step(steps, usual, span, len(stamps))
    if not dated:
        typical = max(1, int(np.median(steps)))
        return IntegerStep(size=common) if common else IrregularStep(typical=typical, is_dated=False)
    shortest = int(steps.min())
    months = _month_step(stamps, inner) if shortest >= 28 * DAY else None
    if months is not None:
        return months
    if usual == DAY and shortest == DAY and _only_weekdays(stamps):
        holidays = missing_weekdays(stamps)
        if len(holidays) <= 0.2 * len(np.unique(day_of(stamps))):
            return BusinessStep(holidays=holidays)
    if common:
        return FixedStep(microseconds=common)
    return IrregularStep(typical=max(1, int(np.median(steps))))


def day_of(stamps: Stamps) -> NDArray[np.datetime64]:
    """The day of each stamp."""
    return np.asarray(stamps, dtype=np.int64).astype("datetime64[us]").astype("datetime64[D]")


def month_number(stamps: Stamps) -> NDArray[np.int64]:
    """Months since January 1970."""
    return np.asarray(stamps, dtype=np.int64).astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)


def month_start(months: NDArray[np.int64]) -> Stamps:
    """Stamp of the beginning of each month."""
    return np.asarray(months, dtype=np.int64).astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)


def missing_weekdays(stamps: Stamps) -> tuple[int, ...]:
    """Weekdays between the first and the last stamp that none of the stamps falls on, in days since 1970."""
    days = np.unique(day_of(stamps))
    between = np.arange(days[0], days[-1] + 1)
    absent = np.setdiff1d(between[np.is_busday(between)], days, assume_unique=True)
    return tuple(int(day) for day in absent.astype(np.int64))


def _most_common(steps: Stamps, sample: int = 200_000) -> int:
    found, counts = np.unique(steps[:: max(1, len(steps) // sample)], return_counts=True)
    return int(found[np.argmax(counts)])


def _common_step(steps: Stamps, usual: int, span: int, rows: int) -> int | None:
    """The usual step where all others are multiples of it, or else a divisor of all that makes few new rows."""
    if not np.any(steps % usual):
        return usual if span // usual <= 10 * rows else None
    divisor = int(np.gcd.reduce(steps))
    return divisor if span // divisor <= 3 * rows else None


def _only_weekdays(stamps: Stamps) -> bool:
    days = day_of(stamps)
    return bool(days.max() - days.min() >= np.timedelta64(13, "D")) and bool(np.is_busday(np.unique(days)).all())


def _month_step(stamps: Stamps, inner: NDArray[np.bool_]) -> MonthStep | None:
    """Months, where every stamp lies at the same place of its month."""
    months = month_number(stamps)
    into = stamps - month_start(months)
    left = month_start(months + 1) - stamps
    month_end = bool(np.all(left <= DAY)) and len(np.unique(left)) == 1
    if not month_end and len(np.unique(into)) > 1:
        return None
    steps = np.diff(months)[inner]
    usual = _most_common(steps)
    return None if np.any(steps % usual) else MonthStep(months=usual, month_end=month_end)
