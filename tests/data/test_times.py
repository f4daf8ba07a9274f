"""Times in any spelling are read to the same stamps, and written as they were."""

from __future__ import annotations

import datetime as dt

import numpy as np
import polars as pl
import pytest

from echoic.data.table import Table
from echoic.data.times import read_times
from echoic.errors import DataError
from echoic.notices import collected

DAYS = [dt.datetime(2023, 12, 30) + dt.timedelta(days=i) for i in range(40)]
HOURS = [dt.datetime(2023, 12, 30, 22, 15) + dt.timedelta(hours=i) for i in range(40)]
MONTHS = [dt.datetime(2019 + i // 12, i % 12 + 1, 1) for i in range(40)]
QUARTERS = MONTHS[::3]


def stamps_of(times: list[dt.datetime]) -> list[int]:
    return [round((time - dt.datetime(1970, 1, 1)).total_seconds() * 1e6) for time in times]


def column(values: list, name: str = "date") -> Table:
    return Table("table", pl.DataFrame({name: values}))


@pytest.mark.parametrize(
    ("times", "form"),
    [
        (DAYS, "%Y-%m-%d"),
        (DAYS, "%Y/%m/%d"),
        (DAYS, "%d.%m.%Y"),
        (DAYS, "%m/%d/%Y"),
        (DAYS, "%d/%m/%Y"),
        (DAYS, "%Y%m%d"),
        (DAYS, "%d %b %Y"),
        (DAYS, "%b %d, %Y"),
        (HOURS, "%Y-%m-%d %H:%M:%S"),
        (HOURS, "%Y-%m-%dT%H:%M"),
        (HOURS, "%d.%m.%Y %H:%M"),
        (HOURS, "%m/%d/%Y %H:%M"),
        (MONTHS, "%Y-%m"),
        (MONTHS, "%b %Y"),
        (MONTHS, "%Y/%m"),
        (MONTHS, "%m/%Y"),
    ],
)
def test_texts(times: list[dt.datetime], form: str):
    written = [time.strftime(form) for time in times]
    table = column(written)
    stamps, time_format = read_times(table, "date")
    assert stamps.tolist() == stamps_of(times)
    assert time_format.dated
    assert time_format.write(stamps).to_list() == written


@pytest.mark.parametrize("separator", ["", "-", " "])
def test_quarters(separator: str):
    written = [f"{time.year}{separator}Q{time.month // 3 + 1}" for time in QUARTERS]
    stamps, time_format = read_times(column(written), "date")
    assert stamps.tolist() == stamps_of(QUARTERS)
    assert time_format.write(stamps).to_list() == written


def test_years_and_counters_and_dates_as_numbers():
    stamps, form = read_times(column([1999, 2000, 2001], "year"), "year")
    assert stamps.tolist() == stamps_of([dt.datetime(year, 1, 1) for year in (1999, 2000, 2001)])
    assert form.write(stamps).to_list() == [1999, 2000, 2001]
    stamps, form = read_times(column([1999, 2000, 2001], "t"), "t")
    assert (stamps.tolist(), form.dated) == ([1999, 2000, 2001], False)
    stamps, _ = read_times(column([20240131, 20240201]), "date")
    assert stamps.tolist() == stamps_of([dt.datetime(2024, 1, 31), dt.datetime(2024, 2, 1)])
    stamps, form = read_times(column([5, 6]), None)
    assert (stamps.tolist(), form.kind) == ([0, 1], "rows")


@pytest.mark.parametrize(("unit", "word"), [(1, "microseconds"), (1000, "milliseconds"), (10**6, "seconds")])
def test_unix_time(unit: int, word: str):
    numbers = [stamp // unit for stamp in stamps_of(HOURS)]
    with collected() as notices:
        stamps, form = read_times(column(numbers, "timestamp"), "timestamp")
    assert stamps.tolist() == stamps_of(HOURS)
    assert form.write(stamps).to_list() == numbers
    assert word in notices[0]


def test_fractions_of_a_second():
    """Python writes no fraction where it is zero, so a column may have one in its last rows only."""
    times = [dt.datetime(2024, 1, 1) + dt.timedelta(seconds=i) for i in range(1500)]
    times.append(dt.datetime(2024, 1, 2, 0, 0, 0, 250_000))
    stamps, form = read_times(column([str(time) for time in times]), "date")
    assert stamps.tolist() == stamps_of(times)
    assert form.write(stamps).to_list()[-2:] == ["2024-01-01 00:24:59", "2024-01-02 00:00:00.250"]


def test_date_columns():
    for values in ([time.date() for time in DAYS], HOURS):
        stamps, form = read_times(column(values), "date")
        assert form.write(stamps).to_list() == values


def test_zones():
    """Daily local midnights stay midnights over a change of clocks; hours become UTC."""
    days = pl.Series(DAYS).dt.replace_time_zone("UTC")
    march = pl.datetime_range(
        dt.datetime(2024, 3, 25), dt.datetime(2024, 4, 5), "1d", eager=True, time_zone="Europe/Berlin"
    )
    stamps, form = read_times(Table("table", pl.DataFrame({"date": march})), "date")
    assert form.write(stamps).equals(march)
    assert set(np.diff(stamps).tolist()) == {86_400_000_000}
    hours = pl.datetime_range(
        dt.datetime(2024, 3, 30), dt.datetime(2024, 4, 1), "1h", eager=True, time_zone="Europe/Berlin"
    )
    stamps, form = read_times(Table("table", pl.DataFrame({"date": hours})), "date")
    assert set(np.diff(stamps).tolist()) == {3_600_000_000}
    assert form.write(stamps).equals(hours)
    assert read_times(Table("table", pl.DataFrame({"date": days})), "date")[0].tolist() == stamps_of(DAYS)


def test_ambiguous_dates_are_said():
    """01/02, 02/02, 03/02: days in a row if the day comes first, months otherwise; the even one is taken."""
    with collected() as notices:
        _, form = read_times(column(["01/02/2024", "02/02/2024", "03/02/2024", "05/02/2024"]), "date")
    assert form.format == "%d/%m/%Y"
    assert "2 ways" in notices[0]


@pytest.mark.parametrize(
    ("values", "row", "found"),
    [
        (["2024-01-01", "2024-01-02", "soon"], 3, '"soon"'),
        (["2024-01-01", "2024-01-02", "2024-01-03 12:00"], 3, '"2024-01-03 12:00"'),
        (["2024-01-01", "2024-02-30", "2024-03-01"], 2, '"2024-02-30"'),
        (["2024-01-01", None, "2024-01-03"], 2, "no time"),
        (["a", "b"], 1, '"a"'),
        (["2020Q1", "2020Q2", "2020Q5"], 3, '"2020Q5"'),
        (["0.5", "0.75"], 1, '"0.5"'),
    ],
)
def test_faults(values: list, row: int, found: str):
    with pytest.raises(DataError) as caught:
        read_times(column(values), "date")
    assert (caught.value.row, caught.value.column, caught.value.found) == (row, "date", found)
