"""Numeric sequences with a class each: from arrays in memory, or from a long table with a row for each step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from echoic.data.examples import Examples
from echoic.data.label_column import label_texts
from echoic.data.table import LARGEST, Table
from echoic.errors import DataError


@dataclass(frozen=True)
class SeriesColumns:
    """Columns of a long table.

    series: tells the sequences apart.
    time: the order of the steps; None takes the rows as they stand.
    features: the numbers of a step.
    label: the class, the same in all rows of a sequence; None where there is none.
    """

    series: str
    time: str | None
    features: list[str]
    label: str | None


def examples_from_arrays(sequences: Sequence[Any], labels: Sequence[Any] | None, source: str = "arrays") -> Examples:
    """Sequences given as arrays [T] or [T, F], with a label each (or none at all).

    Raises DataError for an array of another shape, of other features than the first, or with an infinite value.
    """
    items: list[np.ndarray] = []
    for number, given in enumerate(sequences, start=1):
        try:
            values = np.asarray(given, np.float64)
        except (TypeError, ValueError) as error:
            raise DataError(
                source, f"no numbers ({error})", "numbers", "Pass arrays of numbers.", row=number
            ) from error
        values = values[:, None] if values.ndim == 1 else values
        features = items[0].shape[1] if items else max(1, values.shape[-1] if values.ndim else 1)
        if values.ndim != 2 or values.shape[1] != features:
            raise DataError(
                source, f"an array of shape {list(np.shape(given))}", f"[T] or [T, {features}]",
                "Each sequence is an array of steps by features.", row=number,
            )  # fmt: skip
        if (np.abs(values) > LARGEST).any():
            raise DataError(
                source, "an infinite value", "finite numbers, or NaN where one is missing", "Mend it.", number
            )
        items.append(values.astype(np.float32))
    if not items:
        raise DataError(source, "no sequence", "at least one", "Pass a list of arrays.")
    names = [f"feature {i + 1}" for i in range(items[0].shape[1])]
    rows = list(range(1, len(items) + 1))
    table = pl.DataFrame({"case": rows})
    return Examples(source, items, label_texts(labels, len(items), source), rows, table, names)


def examples_from_long_table(table: Table, columns: SeriesColumns) -> Examples:
    """Sequences of a table with a row for each step, in the order of their first rows.

    Raises DataError with row and column: text among the numbers, an infinite value, a missing or repeated time stamp, a
    missing name of a series, a label that changes within a series.
    """
    series = _complete(table, columns.series)
    frame = pl.DataFrame({"series": series, "row": np.arange(table.height)})
    if columns.time is not None:
        frame = frame.with_columns(_times(table, columns.time))
        _refuse_repeated(table, frame, columns)
    labels = label_texts(None if columns.label is None else table.values(columns.label), table.height, table.source)
    features = np.stack([_numbers(table, name) for name in columns.features], axis=1)
    ordered = frame.with_columns(pl.col("row").min().over("series").alias("first")).sort("first", frame.columns[-1])
    counts = ordered.group_by("first", maintain_order=True).len()
    firsts = counts.get_column("first").to_numpy()
    _refuse_changing_label(table, columns, labels, ordered)
    return Examples(
        table.source,
        np.split(features[ordered.get_column("row").to_numpy()], np.cumsum(counts.get_column("len").to_numpy())[:-1]),
        [labels[i] for i in firsts],
        [table.row(int(i)) for i in firsts],
        table.frame.select(columns.series)[firsts],
        list(columns.features),
    )


def _complete(table: Table, name: str) -> pl.Series:
    """A column of texts without an empty cell."""
    texts = table.texts(name)
    if texts.null_count():
        index = int(texts.is_null().arg_max() or 0)
        raise table.error(index, name, "an empty cell", "a value in each row", "Fill it in or remove the row.")
    return texts


def _times(table: Table, name: str) -> pl.Series:
    """What orders the rows: numbers where all are, otherwise texts (dates from year to second sort rightly)."""
    texts = _complete(table, name)
    numbers = texts.cast(pl.Float64, strict=False)
    return (texts if numbers.null_count() else numbers).alias("time")


def _numbers(table: Table, name: str) -> np.ndarray:
    numbers = table.numbers(name).cast(pl.Float32).fill_null(float("nan"))
    return numbers.to_numpy()


def _refuse_repeated(table: Table, frame: pl.DataFrame, columns: SeriesColumns) -> None:
    repeated = frame.filter(pl.struct("series", "time").is_first_distinct().not_())
    if repeated.height:
        row = repeated.row(0, named=True)
        raise table.error(
            row["row"], columns.time, f'{row["time"]} a second time in series "{row["series"]}"',
            "each time once in a series", "Remove one of the rows, or check the columns: --series NAME --time NAME.",
        )  # fmt: skip


def _refuse_changing_label(
    table: Table, columns: SeriesColumns, labels: list[str | None], ordered: pl.DataFrame
) -> None:
    rows, firsts = ordered.get_column("row").to_list(), ordered.get_column("first").to_list()
    for row, first in zip(rows, firsts, strict=True):
        if labels[row] != labels[first]:
            raise table.error(
                row, columns.label, f'the label "{labels[row]}" in a series that began with "{labels[first]}"',
                "one label for all rows of a series",
                "A label for each step is a job for tagging; or check the columns: --series NAME --label NAME.",
            )  # fmt: skip
