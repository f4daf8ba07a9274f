"""Where in the day, week, month and year a stamp lies, as features between -0.5 and 0.5."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from echoic.data.frequency import DAY, HOUR, MINUTE, FixedStep, Frequency, MonthStep, Stamps

Feature = NDArray[np.float32]
Days = NDArray[np.datetime64]


def _centred(values: NDArray, last: float) -> Feature:
    return (values / last - 0.5).astype(np.float32)


def _minute_of_hour(stamps: Stamps) -> Feature:
    return _centred(stamps // MINUTE % 60, 59)


def _hour_of_day(stamps: Stamps) -> Feature:
    """With the minutes as a fraction, so that half hours differ."""
    return _centred(stamps % DAY / HOUR, 24)


def _day_of_week(days: Days) -> Feature:
    return _centred((days.astype(np.int64) + 3) % 7, 6)  # 1 January 1970 was a Thursday, and Monday is 0


def _day_of_month(days: Days) -> Feature:
    return _centred((days - days.astype("datetime64[M]")).astype(np.int64), 30)


def _day_of_year(days: Days) -> Feature:
    return _centred((days - days.astype("datetime64[Y]")).astype(np.int64), 365)


def _month_of_year(days: Days) -> Feature:
    return _centred(days.astype("datetime64[M]").astype(np.int64) % 12, 11)


CLOCK = {"minute of hour": _minute_of_hour, "hour of day": _hour_of_day}
DAILY = {
    "day of week": _day_of_week,
    "day of month": _day_of_month,
    "day of year": _day_of_year,
    "month of year": _month_of_year,
}


def calendar_names(frequency: Frequency) -> tuple[str, ...]:
    """The features that vary at this step; none for integer time."""
    if not frequency.dated:
        return ()
    if isinstance(frequency, MonthStep):
        return () if frequency.months % 12 == 0 else ("month of year",)
    if not isinstance(frequency, FixedStep) or frequency.microseconds == DAY:
        return ("day of week", "day of month", "day of year")
    if frequency.microseconds > DAY:
        return ("day of month", "day of year")
    daily = ("hour of day", "day of week", "day of month", "day of year")
    return daily if frequency.microseconds >= HOUR else ("minute of hour", *daily)


def calendar_features(stamps: Stamps, frequency: Frequency) -> NDArray[np.float32]:
    """The features of ``calendar_names`` for stamps [N]: [N, F] float32 between -0.5 and 0.5."""
    names = calendar_names(frequency)
    features = np.empty((len(stamps), len(names)), dtype=np.float32)
    if len(stamps) == 0 or not names:
        return features
    day = stamps // DAY
    first, last = int(day.min()), int(day.max())
    if last - first < len(stamps):  # many rows a day: each day is worked out once
        days, place = np.arange(first, last + 1).astype("datetime64[D]"), day - first
    else:
        days, place = day.astype("datetime64[D]"), slice(None)
    for column, name in enumerate(names):
        features[:, column] = CLOCK[name](stamps) if name in CLOCK else DAILY[name](days)[place]
    return features
