"""Tables of labelled texts (a row each) or of labelled sequences (a row for each step): which column is what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from echoic.data.examples import Examples
from echoic.data.label_column import label_texts
from echoic.data.sequences import SeriesColumns, examples_from_long_table
from echoic.data.table import Table
from echoic.notices import notice

LABEL_NAMES = ("label", "labels", "class", "target", "y", "category", "sentiment", "polarity", "activity", "species")
SERIES_NAMES = ("series", "series_id", "id", "unique_id", "case", "case_id", "sequence_id", "sample", "instance")
TIME_NAMES = ("time", "timestamp", "t", "step", "date", "datetime", "ds", "frame", "index")
FEW = 50  # different values that a column of labels may have, where its name does not say that it is one
LOOKED_AT = 10_000  # rows, to guess by


@dataclass(frozen=True)
class Columns:
    """What is what in a table.

    input: the text, or the numbers of a step.
    label: the class; None where there is none.
    series, time: of a long table; series is None for a table of texts.
    """

    input: list[str]
    label: str | None
    series: str | None = None
    time: str | None = None

    def all_names(self) -> tuple[str, ...]:
        """The names of all that is known."""
        return tuple(name for name in (*self.input, self.label, self.series, self.time) if name is not None)


@dataclass(frozen=True)
class _Look:
    """What the first rows say about the columns: which hold numbers, whole ones, and how many different values."""

    head: pl.DataFrame
    numbers: set[str]
    whole: set[str]

    @classmethod
    def at(cls, table: Table) -> _Look:
        head = pl.DataFrame([table.values(name).head(LOOKED_AT) for name in table.frame.columns])
        numbers, whole = set(), set()
        for values in head.get_columns():
            if values.dtype == pl.String:
                read = table.read_numbers(values)
                is_number = read.null_count() == values.null_count() < len(values)
            else:
                read, is_number = values, values.dtype.is_numeric()
            if is_number:
                numbers.add(values.name)
                if bool((read.drop_nulls() == read.drop_nulls().round()).all()):
                    whole.add(values.name)
        return cls(head, numbers, whole)

    def named(self, names: Sequence[str], taken: set[str | None]) -> str | None:
        """The first column that has one of the names and is not taken."""
        free = {c.lower(): c for c in self.head.columns if c not in taken}
        return next((free[name] for name in names if name in free), None)


def guess_columns(table: Table, asked: Columns) -> Columns:
    """The columns asked for by name, the others guessed and said.

    Args:
        asked: names given by the user; empty or None where they are to be guessed.

    Raises DataError for a name that is not there, or a guess that fails.
    """
    _check_names(table, asked)
    look = _Look.at(table)
    label = asked.label or _guess_label(table, look, asked)
    found = _texts(table, look, asked, label) or _series(table, look, asked, label)
    _say(table, asked, found)
    return found


def examples_from_table(table: Table, columns: Columns) -> Examples:
    """The examples of a table; it may lack the labels where only predictions are wanted. Raises DataError."""
    for name in (*columns.input, columns.series, columns.time):
        if name is not None and name not in table.frame.columns:
            raise table.error(
                None, None, f"the columns {', '.join(table.frame.columns)}", f'a column "{name}" as in training',
                "Rename the column that holds it.",
            )  # fmt: skip
    label = columns.label if columns.label in table.frame.columns else None
    if columns.series is not None:
        return examples_from_long_table(table, SeriesColumns(columns.series, columns.time, columns.input, label))
    texts = table.texts(columns.input[0])
    if missing := texts.null_count():
        row = table.row(int(texts.is_null().arg_max() or 0))
        notice(f'{table.source}: {missing:,} empty cells of column "{texts.name}" are empty texts (first: row {row}).')
    labels = None if label is None else table.values(label)
    rows = [table.row(i) for i in range(table.height)]
    return Examples(
        table.source, texts.fill_null("").to_list(), label_texts(labels, table.height, table.source), rows, table.frame
    )


def _texts(table: Table, look: _Look, asked: Columns, label: str) -> Columns | None:
    """The columns of a table of texts; None where it is a long table of numbers."""
    if asked.series is not None or asked.time is not None:
        return None
    names = asked.input or _guess_text(look, label)
    if not names or names[0] in look.numbers:
        return None
    if len(names) > 1:
        found = f"several columns of text ({', '.join(names)})"
        raise table.error(None, None, found, "one column of text", "Name one: --input NAME.")
    return Columns(names, label)


def _series(table: Table, look: _Look, asked: Columns, label: str) -> Columns:
    series = asked.series or look.named(SERIES_NAMES, {label, asked.time, *asked.input})
    if series is None:
        raise table.error(
            None, None, f"the columns {', '.join(table.frame.columns)}",
            "a column of texts, or one that tells sequences apart",
            "Name the text (--input NAME), or for a long table of numbers: --series NAME --time NAME.",
        )  # fmt: skip
    time = asked.time or look.named(TIME_NAMES, {label, series, *asked.input})
    features = asked.input or [c for c in table.frame.columns if c in look.numbers and c not in (label, series, time)]
    if not features:
        raise table.error(None, None, "no column of numbers", "features at each step", "Name them: --input A,B.")
    if time is None:
        notice(f"{table.source}: no column of times; the steps of a series are taken in the order of their rows.")
    return Columns(features, label, series, time)


def _check_names(table: Table, asked: Columns) -> None:
    options = {"--input": asked.input, "--label": [asked.label], "--series": [asked.series], "--time": [asked.time]}
    for option, names in options.items():
        for name in names:
            if name is not None and name not in table.frame.columns:
                found = f"the columns {', '.join(table.frame.columns)}"
                raise table.error(None, None, found, f'"{name}" among them', f"Correct {option}.")


def _guess_label(table: Table, look: _Look, asked: Columns) -> str:
    taken = {*asked.input, asked.series, asked.time}
    named = look.named(LABEL_NAMES, taken)
    if named is not None:
        return named
    most = min(FEW, max(2, look.head.height // 2))
    kinds = {c: look.head.get_column(c).n_unique() for c in look.head.columns if c not in taken}
    fraction = look.numbers - look.whole
    likely = [
        c
        for c, kind in kinds.items()
        if kind <= most and c not in fraction and c.lower() not in (*SERIES_NAMES, *TIME_NAMES)
    ]
    if not likely:
        raise table.error(
            None, None, f"the columns {', '.join(table.frame.columns)}, none of which repeats like a class",
            "a column with the class of each row", "Name it: --label NAME.",
        )  # fmt: skip
    return min(likely, key=lambda c: (kinds[c] < 2, c in look.numbers, kinds[c]))


def _guess_text(look: _Look, label: str) -> list[str]:
    """The text column whose texts are longest on average; none where texts only name series or times among numbers."""
    names = [c for c in look.head.columns if look.head.schema[c] == pl.String and c not in look.numbers and c != label]
    fraction = look.numbers - look.whole - {label}
    if not names or (fraction and all(c.lower() in (*SERIES_NAMES, *TIME_NAMES) for c in names)):
        return []
    lengths = look.head.select(pl.col(c).str.len_chars().mean().fill_null(0) for c in names).row(0)
    return [names[int(np.argmax(lengths))]]


def _say(table: Table, asked: Columns, found: Columns) -> None:
    guesses = []
    if not asked.input:
        guesses.append(f"--input {','.join(found.input[:8])}{',...' if len(found.input) > 8 else ''}")
    for name in ("label", "series", "time"):
        if getattr(asked, name) is None and getattr(found, name) is not None:
            guesses.append(f"--{name} {getattr(found, name)}")
    if guesses:
        notice(f"{table.source}: guessed from the columns: {' '.join(guesses)}")
