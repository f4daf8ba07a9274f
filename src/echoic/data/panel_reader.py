"""From a table to a panel: series apart, rows in order and evenly spaced, gaps filled and marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from echoic.data.calendar import calendar_features, calendar_names
from echoic.data.columns import Columns, check_columns, resolve_columns
from echoic.data.covariates import read_covariates, read_static
from echoic.data.frequency import ALIASES, Frequency, Stamps
from echoic.data.gaps import FILLS, MERGES
from echoic.data.panel import Panel
from echoic.data.rows import Rows, filled
from echoic.data.schema import Schema
from echoic.data.table import Table, open_table
from echoic.data.times import read_times
from echoic.errors import DataError, OptionError
from echoic.notices import notice

Index = NDArray[np.int64]


class Reading(BaseModel):
    """How a table is read where it is not plain.

    missing: texts that mean a missing value.
    gaps: what stands in for missing rows and values: forward, interpolate or zero. They never count in the loss.
    duplicates: what becomes of several rows for one series and time: error, mean, sum or last.
    frequency: the step, as "hourly"; None infers it.
    header: whether CSV has a header line; None guesses.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    missing: tuple[str, ...] = ()
    gaps: str = Field(default="forward", description=" or ".join(FILLS))
    duplicates: str = Field(default="error", description=" or ".join(("error", *MERGES)))
    frequency: str | None = Field(default=None, description=", ".join(ALIASES))
    header: bool | None = None


def read_panel(
    source: Any, columns: Columns | None = None, reading: Reading | None = None, schema: Schema | None = None
) -> Panel:
    """Read the series of a table.

    Rows whose targets are all empty at the end of a series hold covariates of the future (see ``Panel.future``).

    Args:
        source: what ``open_table`` reads, or a list of these with the same columns, the earlier first.
        columns: roles of columns; what is not named is guessed and said.
        reading: what to do with gaps, duplicates and missing texts.
        schema: that of the training table, to read another in the same way; ``columns`` is ignored then.

    Raises DataError, with row and column where there is one; OptionError for names of columns or policies.
    """
    reading = reading or Reading()
    _check_policies(reading)
    columns = schema.columns if schema is not None else columns or Columns()
    table = _open(source, reading, columns.all_names())
    if schema is None:
        columns = resolve_columns(table, columns)
    else:
        check_columns(table, columns)
    stamps, time_format = read_times(table, columns.time, schema.time_format if schema else None)
    series, ids = _series(table, columns.series)
    order = _order(table, columns, series, stamps)
    if columns.time is None:
        stamps = _count_within(series, order)
    categories = schema.categories if schema else None
    values = np.stack([_numbers(table, name) for name in columns.target], axis=1)
    known, known_names, known_found = read_covariates(table, columns.known, categories)
    past, past_names, past_found = read_covariates(table, columns.past, categories)
    members = (series, np.unique(series, return_index=True)[1])
    codes, numbers, static_found = read_static(table, columns.static, members, categories)

    features = np.concatenate([values, known, past], axis=1)
    everything = np.arange(table.height) if order is None else order
    sort = slice(None) if order is None else order
    rows = Rows(series[sort], stamps[sort], features[sort], everything, table, time_format)
    rows = rows.merged(reading.duplicates, _remedy_for_repeats(columns))
    frequency = _step(rows, reading, schema)
    stamps, offsets, features = rows.on_grid(frequency)
    observed = ~np.isnan(features[:, : len(columns.target)])
    features = filled(features, len(columns.target), offsets, reading.gaps, table.source)

    first, second = values.shape[1], values.shape[1] + known.shape[1]
    found = {**known_found, **past_found, **static_found}
    texts = [name for name in columns.static if name in found]
    panel = Panel(
        source=table.source, ids=ids, offsets=offsets, stamps=stamps, observed=observed,
        schema=Schema(columns=columns, frequency=frequency, time_format=time_format, categories=found),
        values=np.ascontiguousarray(features[:, :first]),
        known=np.concatenate([calendar_features(stamps, frequency), features[:, first:second]], axis=1),
        known_names=(*calendar_names(frequency), *known_names),
        past=np.ascontiguousarray(features[:, second:]), past_names=past_names,
        static_codes=codes, static_sizes=tuple(len(found[name]) + 1 for name in texts), static_numbers=numbers,
    )  # fmt: skip
    return _without_empty_series(panel)


def _check_policies(reading: Reading) -> None:
    allowed = (
        ("gaps", reading.gaps, tuple(FILLS)),
        ("duplicates", reading.duplicates, ("error", *MERGES)),
        ("frequency", reading.frequency or "hourly", tuple(ALIASES)),
    )
    for option, given, choices in allowed:
        if given not in choices:
            raise OptionError(f'{option}: found "{given}", expected one of {", ".join(choices)}.')


def _open(source: Any, reading: Reading, expected: Sequence[str]) -> Table:
    if not isinstance(source, (list, tuple)):
        return open_table(source, missing=reading.missing, header=reading.header, expected=expected)
    tables = [open_table(one, missing=reading.missing, header=reading.header, expected=expected) for one in source]
    first = tables[0]
    for table in tables[1:]:
        lacking = [name for name in first.frame.columns if name not in table.frame.columns]
        if lacking:
            raise DataError(
                table.source,
                f"no column {', '.join(lacking)}",
                f"the columns of {first.source}",
                "Give both the same columns.",
            )
    frames = [table.frame.select(first.frame.columns) for table in tables]
    joined = pl.concat(frames, how="vertical_relaxed")
    rows = np.concatenate([table.row_numbers() for table in tables])
    return Table(" + ".join(table.source for table in tables), joined, first.missing, 1, rows, first.separator)


def _numbers(table: Table, name: str) -> NDArray[np.float32]:
    return table.numbers(name).cast(pl.Float32).fill_null(np.nan).to_numpy()


def _series(table: Table, names: Sequence[str]) -> tuple[Index, pl.DataFrame]:
    """Number of the series of each row [N], in order of first appearance, and the columns that name them."""
    if not names:
        return np.zeros(table.height, dtype=np.int64), pl.DataFrame()
    frame = pl.DataFrame([table.texts(name) for name in names])
    for name in names:
        if frame[name].null_count():
            row = int(frame[name].is_null().arg_max() or 0)
            raise table.error(row, name, "no series id", "one in every row", "Fill it in or delete the row.")
    runs = frame.select(pl.struct(names).rle_id()).to_series().to_numpy().astype(np.int64)
    heads = frame[np.unique(runs, return_index=True)[1]]
    ids = heads.unique(maintain_order=True)
    numbers = heads.join(ids.with_row_index("\0"), on=list(names), how="left", maintain_order="left")["\0"]
    # As it was read, so that forecasts name a series as the table did.
    first = np.unique(numbers.to_numpy(), return_index=True)[1]
    rows = np.unique(runs, return_index=True)[1][first]
    return numbers.to_numpy().astype(np.int64)[runs], table.frame.select(names)[rows]


def _order(table: Table, columns: Columns, series: Index, stamps: Stamps) -> Index | None:
    """Rows by series, then time; None if they are so already."""
    apart = np.all(np.diff(series) >= 0)
    order = None if apart else np.argsort(series, kind="stable")
    if columns.time is None:
        return order
    sorted_series, sorted_stamps = (series, stamps) if order is None else (series[order], stamps[order])
    back = (np.diff(sorted_stamps) < 0) & (np.diff(sorted_series) == 0)
    if not back.any():
        return order
    place = int(np.argmax(back)) + 1
    row = table.row(place if order is None else int(order[place]))
    notice(f"{table.source}: rows are not in order of time (first at row {row}); they were sorted.")
    return np.lexsort((stamps, series))


def _count_within(series: Index, order: Index | None) -> Stamps:
    """Number of each row within its series, in the order of the table."""
    order = np.arange(len(series)) if order is None else order
    grouped = series[order]
    begins = np.concatenate([[True], np.diff(grouped) != 0])
    count = np.empty(len(series), dtype=np.int64)
    count[order] = np.arange(len(series)) - np.maximum.accumulate(np.where(begins, np.arange(len(series)), 0))
    return count


def _step(rows: Rows, reading: Reading, schema: Schema | None) -> Frequency:
    """The step asked for, that of training, or the one the rows show."""
    if reading.frequency is not None:
        frequency: Frequency = ALIASES[reading.frequency]
    elif schema is not None:
        frequency = schema.frequency
    else:
        return rows.step()
    if rows.time_format.dated:
        frequency = frequency.refit(rows.stamps)
    rows.check_step(frequency)
    return frequency


def _remedy_for_repeats(columns: Columns) -> str:
    delete = "Delete the repeated rows, or pass --duplicates mean, sum or last."
    if columns.series:
        return delete
    return f"If the table holds several series, name the column that tells them apart with --series. {delete}"


def _without_empty_series(panel: Panel) -> Panel:
    empty = panel.history == 0
    if not empty.any():
        return panel
    notice(f"{panel.source}: {int(empty.sum())} of {len(panel)} series have no value at all; left out.")
    return panel.select(np.flatnonzero(~empty))
