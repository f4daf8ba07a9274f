"""Times as tables write them: dates as text in many spellings, real dates, counts of seconds, years, plain numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from echoic.data.frequency import Stamps, month_number, month_start
from echoic.data.table import Table
from echoic.errors import DataError, OptionError
from echoic.notices import notice

FRACTION = "%.f"  # of a second; reading it takes seven times as long, so it is tried only where there is one
CLOCKS = (" %H:%M:%S", "T%H:%M:%S", " %H:%M:%S%.f", "T%H:%M:%S%.f", " %H:%M", "T%H:%M", "")
DAYS = ("%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y", "%d %b %Y", "%b %d, %Y")
MONTHS = ("%Y-%m", "%Y/%m", "%b %Y", "%B %Y", "%Y %b", "%m/%Y")
ZONED = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%d %H:%M:%S%.f%#z")
FORMATS = (*(day + clock for day in DAYS for clock in CLOCKS), *MONTHS, "%Y%m%d", *ZONED)
SAMPLE = 1000
EPOCHS = ((10**8, 10**10, 10**6), (10**11, 10**13, 10**3), (10**14, 10**16, 1))  # from, below, microseconds in one


class TimeFormat(BaseModel):
    """How a table writes its times, so that forecasts are written alike.

    kind: "date" and "datetime" are columns of that type, "text" follows ``format``, "quarter" is 2020Q1, "year" a whole
        number, "unix" counts units of ``unit`` microseconds, "integer" is a plain number, "rows" is no column at all.
    zone: time zone of the column; stamps are UTC, or the clock of the zone if ``local``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["date", "datetime", "text", "quarter", "year", "unix", "integer", "rows"]
    format: str = ""
    unit: int = 1
    zone: str | None = None
    local: bool = False

    @property
    def dated(self) -> bool:
        """Whether stamps are microseconds since 1970."""
        return self.kind not in ("integer", "rows")

    def write(self, stamps: Stamps) -> pl.Series:
        """Stamps as a column of the table."""
        return _WRITERS[self.kind](self, np.asarray(stamps, dtype=np.int64))

    def say(self, stamp: int) -> str:
        """One stamp, for messages."""
        return str(self.write(np.array([stamp]))[0])


def read_times(table: Table, column: str | None, known: TimeFormat | None = None) -> tuple[Stamps, TimeFormat]:
    """Stamps [N] of a column (row numbers if None), and how they were written.

    Args:
        known: the format an earlier table had; it is tried first.

    Raises DataError naming the first row that is no time, or has none.
    """
    if column is None:
        return np.arange(table.height, dtype=np.int64), TimeFormat(kind="rows")
    if column not in table.frame.columns:
        raise OptionError(f'time: there is no column "{column}". The columns are {", ".join(table.frame.columns)}.')
    values = table.values(column)
    if values.null_count():
        raise table.error(
            int(values.is_null().arg_max() or 0), column, "no time", "a time in every row",
            "Fill in the time or delete the row.",
        )  # fmt: skip
    if values.dtype == pl.Date:
        return _microseconds(values), TimeFormat(kind="date")
    if isinstance(values.dtype, pl.Datetime):
        zone, local = values.dtype.time_zone, _keeps_time_of_day(values)
        stamps = values.dt.replace_time_zone(None) if local else values.dt.convert_time_zone("UTC") if zone else values
        return _microseconds(stamps), TimeFormat(kind="datetime", zone=zone, local=local)
    if values.dtype.is_integer():
        return _from_integers(values.cast(pl.Int64).to_numpy(), column)
    if values.dtype.is_float():
        values = table.texts(column).str.replace(r"\.0+$", "")
    return _from_texts(values.cast(pl.String).str.strip_chars(), table, column, known)


def looks_like_time(values: pl.Series) -> bool:
    """Whether a sample of a column reads as dates or times (plain numbers do not)."""
    if values.dtype == pl.Date or isinstance(values.dtype, pl.Datetime):
        return True
    if values.dtype != pl.String:
        return False
    sample = values.drop_nulls().head(SAMPLE).str.strip_chars()
    if sample.is_empty() or sample.cast(pl.Int64, strict=False).null_count() == 0:
        return False
    return bool(_formats(sample)) or _quarters(sample).null_count() < 0.5 * len(sample)


def _from_integers(numbers: Stamps, column: str) -> tuple[Stamps, TimeFormat]:
    low, high = (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)
    hinted = any(word in column.lower() for word in ("time", "date", "stamp", "unix", "epoch"))
    if low >= 19000101 and high <= 21001231:
        dates = pl.Series(numbers).cast(pl.String).str.to_datetime("%Y%m%d", strict=False)
        if dates.null_count() == 0:
            return _microseconds(dates), TimeFormat(kind="text", format="%Y%m%d")
    if low >= 1500 and high <= 2200 and "year" in column.lower():
        return month_start((numbers - 1970) * 12), TimeFormat(kind="year")
    for least, below, unit in EPOCHS:
        if hinted and least <= low and high < below:
            name = {10**6: "seconds", 10**3: "milliseconds", 1: "microseconds"}[unit]
            notice(f'Column "{column}" is read as {name} since 1970 (UTC).')
            return numbers * unit, TimeFormat(kind="unix", unit=unit)
    return numbers, TimeFormat(kind="integer")


def _from_texts(texts: pl.Series, table: Table, column: str, known: TimeFormat | None) -> tuple[Stamps, TimeFormat]:
    numbers = texts.head(SAMPLE).cast(pl.Int64, strict=False)
    if numbers.null_count() == 0:
        whole = texts.cast(pl.Int64, strict=False)
        if whole.null_count():
            raise _no_time(table, column, whole, "a whole number, as in the rows before")
        return _from_integers(whole.to_numpy(), column)
    sample = texts.head(SAMPLE)
    if _quarters(sample).null_count() < 0.5 * len(sample):
        quarters = _quarters(texts)
        if quarters.null_count():
            raise _no_time(table, column, quarters, "a quarter as 2020Q1")
        separator = texts[0].upper().split("Q")[0][4:]
        return month_start(quarters.to_numpy()), TimeFormat(kind="quarter", format=separator)
    formats = _formats(sample)
    if known is not None and known.format in formats:
        formats = [known.format]
    if not formats:
        none = _quarters(sample.head(1))
        raise _no_time(table, column, none, "a date or time, as 2024-05-31 or 2024-05-31 13:00")
    attempts = [_parse_whole(texts, form) for form in formats]
    whole = [(form, parsed) for form, parsed in attempts if parsed.null_count() == 0]
    if not whole:
        form, parsed = min(attempts, key=lambda attempt: attempt[1].null_count())
        like = texts.filter(parsed.is_not_null())[0]
        raise _no_time(table, column, parsed, f"a time written like {like}")
    stamps = {form: _microseconds(parsed) for form, parsed in whole}
    form = min(stamps, key=lambda form: len(np.unique(np.diff(np.unique(stamps[form])))))
    if len(stamps) > 1:
        notice(f'Column "{column}": {texts[0]} could be read in {len(stamps)} ways; read as {_spelled(form)}.')
    if form in ZONED:
        notice(f'Column "{column}" has a time zone; times are taken as UTC.')
        return stamps[form], TimeFormat(kind="text", format=form.replace("%#z", "Z"), zone="UTC")
    return stamps[form], TimeFormat(kind="text", format=form)


def _formats(sample: pl.Series) -> list[str]:
    """Formats that read most of a sample: all that read as much as the best does, if that is half of it."""
    few = sample.head(5)
    missed = {form: _parse(sample, form).null_count() for form in FORMATS if _parse(few, form).null_count() < len(few)}
    fewest = min(missed.values(), default=len(sample))
    fitting = [form for form, count in missed.items() if count == fewest and count < 0.5 * len(sample)]
    return [form for form in fitting if FRACTION not in form or form.replace(FRACTION, "") not in fitting]


def _parse_whole(texts: pl.Series, form: str) -> tuple[str, pl.Series]:
    """A column read by a format, or by the same with fractions of a second where some rows have them."""
    parsed = _parse(texts, form)
    finer = form.replace("%S", "%S" + FRACTION)
    if parsed.null_count() and finer in FORMATS:
        fine = _parse(texts, finer)
        if fine.null_count() < parsed.null_count():
            return finer, fine
    return form, parsed


def _parse(texts: pl.Series, form: str) -> pl.Series:
    if form in MONTHS:
        return ("1 " + texts).str.to_datetime("%d " + form, strict=False)
    if form in ZONED:
        return texts.str.to_datetime(form, strict=False, time_zone="UTC")
    return texts.str.to_datetime(form, strict=False, cache=False)


def _quarters(texts: pl.Series) -> pl.Series:
    """Months since 1970 of quarters written as 2020Q1, 2020-Q1 or 2020 q1; null for others."""
    parts = texts.str.extract_groups(r"^(\d{4})[- ]?[Qq]([1-4])$").struct.unnest()
    year, quarter = (parts.to_series(i).cast(pl.Int64) for i in (0, 1))
    return (year - 1970) * 12 + (quarter - 1) * 3


def _keeps_time_of_day(values: pl.Series) -> bool:
    """Whether all rows of a column with a zone have the same local time of day: days, not hours, are its steps."""
    zoned = isinstance(values.dtype, pl.Datetime) and values.dtype.time_zone is not None
    return zoned and values.dt.replace_time_zone(None).dt.time().n_unique() == 1


def _microseconds(values: pl.Series) -> Stamps:
    return values.cast(pl.Datetime("us")).cast(pl.Int64).to_numpy()


def _no_time(table: Table, column: str, parsed: pl.Series, expected: str) -> DataError:
    index = int(parsed.is_null().arg_max() or 0)
    return table.error(
        index, column, f'"{table.texts(column)[index]}"', expected,
        "Write all times of the column alike, or name another column with --time.",
    )  # fmt: skip


def _spelled(form: str) -> str:
    return form.replace("%Y", "year").replace("%m", "month").replace("%d", "day").split(" %H")[0]


def _write_datetime(time: TimeFormat, stamps: Stamps) -> pl.Series:
    series = pl.Series(stamps).cast(pl.Datetime("us"))
    if time.zone is None:
        return series
    if time.local:
        return series.dt.replace_time_zone(time.zone, ambiguous="earliest", non_existent="null")
    return series.dt.replace_time_zone("UTC").dt.convert_time_zone(time.zone)


def _write_text(time: TimeFormat, stamps: Stamps) -> pl.Series:
    return pl.Series(stamps).cast(pl.Datetime("us")).dt.to_string(time.format)


def _write_quarter(time: TimeFormat, stamps: Stamps) -> pl.Series:
    months = month_number(stamps)
    return pl.Series([f"{1970 + month // 12}{time.format}Q{month % 12 // 3 + 1}" for month in months], dtype=pl.String)


_WRITERS: dict[str, Callable[[TimeFormat, Stamps], pl.Series]] = {
    "date": lambda time, stamps: pl.Series(stamps).cast(pl.Datetime("us")).cast(pl.Date),
    "datetime": _write_datetime,
    "text": _write_text,
    "quarter": _write_quarter,
    "year": lambda time, stamps: pl.Series(month_number(stamps) // 12 + 1970),
    "unix": lambda time, stamps: pl.Series(stamps // time.unit),
    "integer": lambda time, stamps: pl.Series(stamps),
    "rows": lambda time, stamps: pl.Series(stamps),
}
