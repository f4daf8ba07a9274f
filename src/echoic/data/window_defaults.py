"""How far to look ahead and back where nobody said: guessed from the step between rows and the length of the series."""

from __future__ import annotations

import numpy as np

from echoic.data.calendar import calendar_names
from echoic.data.frequency import DAY, FixedStep, Frequency
from echoic.data.panel import Panel, Part

HORIZONS = {"weekly": 13, "daily": 14, "business-daily": 10, "yearly": 6}  # elsewhere a season, or PLAIN steps
PLAIN = 12
LONGEST = 512  # steps of lookback
CYCLES = {  # days in which a calendar feature takes all its values
    "minute of hour": 1 / 24,
    "hour of day": 1.0,
    "day of week": 7.0,
    "day of month": 30.5,
    "day of year": 365.25,
    "month of year": 365.25,
}


def guess_horizon(frequency: Frequency) -> int:
    """A season ahead, or what is usual at that step."""
    return HORIZONS.get(frequency.name, frequency.season if frequency.season > 1 else PLAIN)


def guess_lookback(frequency: Frequency, horizon: int, season: int, length: int) -> int:
    """Four horizons or two seasons (two weeks for steps below a day), whole seasons, at most half of a series' length.

    length: rows of the median series of the training part.
    """
    wanted = max(4 * horizon, 2 * season)
    if isinstance(frequency, FixedStep) and frequency.microseconds < DAY:
        fortnight = 14 * DAY // frequency.microseconds
        wanted = max(wanted, fortnight) if fortnight <= LONGEST else wanted
    allowed = max(1, min(LONGEST, length // 2))
    if wanted > allowed:
        return max(allowed // season * season, min(allowed, season))
    return -(-wanted // season) * season if -(-wanted // season) * season <= allowed else wanted


def useful_calendar(train: Part) -> tuple[str, ...]:
    """The calendar features of which the training part shows at least two whole cycles: less cannot be learnt from."""
    panel = train.panel
    rows = np.flatnonzero(train.end > 0)
    if not panel.frequency.dated or not len(rows):
        return ()
    first = panel.stamps[panel.offsets[rows]]
    last = panel.stamps[panel.offsets[rows] + train.end[rows] - 1]
    days = float((last.max() - first.min()) / DAY)
    return tuple(name for name in calendar_names(panel.frequency) if days >= 2 * CYCLES[name])


def known_features(panel: Panel, calendar: tuple[str, ...]) -> list[int]:
    """Which known features of a panel a model gets: these of the calendar, and all covariates."""
    own = calendar_names(panel.frequency)
    return [place for place, name in enumerate(panel.known_names) if place >= len(own) or name in calendar]
