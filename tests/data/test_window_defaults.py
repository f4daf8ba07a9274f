"""Guesses of horizon, lookback and calendar."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from echoic.data.frequency import ALIASES
from echoic.data.panel import Part
from echoic.data.panel_reader import read_panel
from echoic.data.window_defaults import guess_horizon, guess_lookback, known_features, useful_calendar


@pytest.mark.parametrize(
    ("frequency", "horizon", "lookback"),
    [
        ("hourly", 24, 336),
        ("daily", 14, 56),
        ("weekly", 13, 52),
        ("monthly", 12, 48),
        ("yearly", 6, 24),
        ("integer", 12, 48),
    ],
)
def test_usual_steps(frequency, horizon, lookback):
    step = ALIASES[frequency]
    assert guess_horizon(step) == horizon
    assert guess_lookback(step, horizon, step.season, 10_000) == lookback


@pytest.mark.parametrize("length", [1, 2, 5, 14, 30, 100, 700])
@pytest.mark.parametrize("frequency", ["hourly", "daily", "monthly", "weekly"])
def test_never_more_than_half_of_a_short_series(frequency, length):
    step = ALIASES[frequency]
    found = guess_lookback(step, 6, step.season, length)
    assert 1 <= found <= max(1, length // 2)
    if found > step.season:
        assert found % step.season == 0 or found == 24


def hourly(days: int):
    hours = np.datetime64("2024-01-01T00:00:00", "us") + np.arange(days * 24) * np.timedelta64(1, "h")
    return read_panel(pl.DataFrame({"time": hours, "load": np.random.default_rng(0).normal(size=days * 24)}))


def test_calendar_features_need_two_cycles():
    assert useful_calendar(Part.whole(hourly(5))) == ("hour of day",)
    assert useful_calendar(Part.whole(hourly(30))) == ("hour of day", "day of week")
    panel = hourly(70)
    assert useful_calendar(Part.whole(panel)) == ("hour of day", "day of week", "day of month")
    short = Part(panel, np.array([0]), np.array([24 * 3]))
    assert useful_calendar(short) == ("hour of day",)
    assert known_features(panel, ("day of week",)) == [panel.known_names.index("day of week")]
