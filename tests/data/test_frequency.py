"""The step of every common kind of table is found, and stamps go on as a calendar says."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echoic.data.frequency import DAY, HOUR, MINUTE, BusinessStep, FixedStep, IntegerStep, MonthStep, infer_frequency

START = dt.datetime(2023, 1, 2, 6, 30)


def stamps_of(times: pl.Series) -> np.ndarray:
    return times.cast(pl.Datetime("us")).cast(pl.Int64).to_numpy()


@pytest.mark.parametrize(
    ("interval", "name", "season"),
    [
        ("1s", "secondly", 60),
        ("1m", "minutely", 1440),
        ("5m", "every 5 minutes", 288),
        ("15m", "every 15 minutes", 96),
        ("1h", "hourly", 24),
        ("6h", "every 6 hours", 4),
        ("1d", "daily", 7),
        ("1w", "weekly", 1),
        ("2w", "every 2 weeks", 1),
        ("1mo", "monthly", 12),
        ("2mo", "every 2 months", 6),
        ("1q", "quarterly", 4),
        ("1y", "yearly", 1),
    ],
)
def test_step_and_continuation_agree_with_polars(interval: str, name: str, season: int):
    """The step is found from the first 40 of 60 stamps of a range made by polars, and gives the other 20."""
    number, unit = int(interval.rstrip("smhdwoqy")), interval.lstrip("0123456789")
    times = pl.Series([START] * 60).dt.offset_by(pl.Series([f"{i * number}{unit}" for i in range(60)]))
    stamps = stamps_of(times)
    frequency = infer_frequency(stamps[:40], np.array([0, 40]))
    assert (frequency.name, frequency.season) == (name, season)
    ahead = np.arange(1, 21)
    assert frequency.stamp(np.full(20, stamps[39]), ahead).tolist() == stamps[40:].tolist()
    assert frequency.count(stamps, np.full(60, stamps[0])).tolist() == list(range(60))


@pytest.mark.parametrize("interval", ["1mo", "3mo"])
def test_month_ends(interval: str):
    first = pl.datetime_range(dt.datetime(2019, 11, 1), dt.datetime(2030, 1, 1), interval, eager=True)
    ends = stamps_of(first.dt.month_end())
    frequency = infer_frequency(ends[:14], np.array([0, 14]))
    assert frequency == MonthStep(months=int(interval[0]), month_end=True)
    assert frequency.stamp(np.full(9, ends[13]), np.arange(1, 10)).tolist() == ends[14:23].tolist()


def test_gaps_do_not_hide_the_step():
    hours = stamps_of(pl.datetime_range(START, START + dt.timedelta(hours=99), "1h", eager=True))
    kept = np.delete(hours, [3, 4, 5, 40, 77])
    assert infer_frequency(kept, np.array([0, len(kept)])) == FixedStep(microseconds=HOUR)


def test_series_are_apart():
    """Two series a year apart: the jump from one to the other is no step."""
    one = np.arange(10) * DAY
    stamps = np.concatenate([one, one + 400 * DAY + HOUR])
    assert infer_frequency(stamps, np.array([0, 10, 20])) == FixedStep(microseconds=DAY)


def test_business_days_and_holidays():
    days = np.arange(np.datetime64("2024-01-01"), np.datetime64("2024-03-31"))
    days = days[np.is_busday(days)]
    open_days = days[~np.isin(days, np.array(["2024-01-01", "2024-02-19", "2024-03-29"], dtype="datetime64[D]"))]
    stamps = open_days.astype("datetime64[us]").astype(np.int64)
    frequency = infer_frequency(stamps, np.array([0, len(stamps)]))
    assert isinstance(frequency, BusinessStep)
    assert frequency.holidays == (int(np.datetime64("2024-02-19").astype(int)),)
    assert frequency.count(stamps, np.full(len(stamps), stamps[0])).tolist() == list(range(len(stamps)))
    ahead = frequency.stamp(np.full(3, stamps[-1]), np.arange(1, 4)).astype("datetime64[us]").astype("datetime64[D]")
    assert ahead.astype(str).tolist() == ["2024-03-29", "2024-04-01", "2024-04-02"]


def test_irregular():
    random = np.random.default_rng(0)
    stamps = np.cumsum(random.integers(1, 10**7, size=50))
    frequency = infer_frequency(stamps, np.array([0, 50]))
    assert frequency.name == "irregular"
    lonely = np.array([0, 1, 2, 10**6]) * MINUTE  # a gap that would make a million rows of four
    assert infer_frequency(lonely, np.array([0, 4])).name == "irregular"


def test_half_steps():
    """Rows mostly an hour apart, some half an hour: a grid of half hours holds them all."""
    stamps = np.cumsum([0, 2, 2, 1, 2, 2, 3, 2, 2]) * 30 * MINUTE
    assert infer_frequency(stamps, np.array([0, 9])) == FixedStep(microseconds=30 * MINUTE)


@pytest.mark.parametrize("size", [1, 7])
def test_integers(size: int):
    stamps = np.array([3, 4, 5, 9]) * size
    assert infer_frequency(stamps, np.array([0, 4]), dated=False) == IntegerStep(size=size)


def test_single_rows():
    assert infer_frequency(np.array([5, 9]), np.array([0, 1, 2])) == FixedStep(microseconds=DAY)


@given(
    frequency=st.one_of(
        st.builds(FixedStep, microseconds=st.integers(1, 30 * DAY)),
        st.builds(MonthStep, months=st.integers(1, 24), month_end=st.booleans()),
        st.builds(IntegerStep, size=st.integers(1, 1000)),
    ),
    start=st.integers(-50 * 365 * DAY, 50 * 365 * DAY),
    steps=st.lists(st.integers(0, 500), min_size=1),
)
def test_counting_undoes_stepping(frequency, start: int, steps: list[int]):
    starts = np.full(len(steps), start)
    stamps = frequency.stamp(starts, np.array(steps))
    assert frequency.count(stamps, starts).tolist() == steps
