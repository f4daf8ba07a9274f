"""Tables of any common format into polars, with every fault named by row and column."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from echoic.data.content import is_parquet, read_content
from echoic.data.delimited import parse_delimited
from echoic.data.jsonlines import parse_jsonlines
from echoic.errors import DataError

JSON_ENDINGS = (".jsonl", ".ndjson")
TAB_ENDINGS = (".tsv", ".tab")
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Table:
    """A table as it was read: CSV and TSV as text in every column, other formats with their own types.

    source: where it came from, for messages.
    frame: the columns.
    missing: texts that mean a missing value, besides the empty cell.
    first_row: number of the first record as an editor shows it.
    rows: numbers of all records, where they do not simply follow the first.
    separator: of CSV and TSV.
    """

    source: str
    frame: pl.DataFrame
    missing: tuple[str, ...] = ()
    first_row: int = 1
    rows: Sequence[int] | np.ndarray | None = None
    separator: str = ""

    @property
    def height(self) -> int:
        """Number of records."""
        return self.frame.height

    def row(self, index: int) -> int:
        """Number of a record as an editor shows it: the header line of a file is row 1."""
        return index + self.first_row if self.rows is None else int(self.rows[index])

    def row_numbers(self) -> np.ndarray:
        """Numbers of all records, as ``row`` gives them."""
        return np.arange(self.height) + self.first_row if self.rows is None else np.asarray(self.rows)

    def error(self, index: int | None, column: str | None, found: str, expected: str, remedy: str) -> DataError:
        """What is wrong with a record, to be raised."""
        return DataError(self.source, found, expected, remedy, None if index is None else self.row(index), column)

    def values(self, column: str) -> pl.Series:
        """A column with its missing values null; otherwise as it was read."""
        values = self.frame.get_column(column)
        if values.dtype in (pl.Categorical, pl.Enum):
            values = values.cast(pl.String)
        if values.dtype != pl.String:
            return values.fill_nan(None) if values.dtype.is_float() else values
        absent = values.is_in(["", *self.missing])
        return values.set(absent, None) if absent.any() else values

    def texts(self, column: str) -> pl.Series:
        """A column as text, missing values null."""
        values = self.values(column)
        if values.dtype.is_nested() or values.dtype in (pl.Object, pl.Binary):
            raise self.error(None, column, f"{values.dtype} values", "texts or numbers", "Leave this column out.")
        return values.cast(pl.String)

    def numbers(self, column: str) -> pl.Series:
        """A column as Float64, missing values null.

        Raises DataError naming the first value that is no finite number, and where all values are missing.
        """
        values = self.values(column)
        if values.dtype == pl.String:
            numbers = self.read_numbers(values)
            self._check_numbers(values, numbers, column)
        elif values.dtype.is_numeric() or values.dtype == pl.Boolean or values.dtype == pl.Null:
            numbers = values.cast(pl.Float64)
        else:
            raise self.error(None, column, f"{values.dtype} values", "numbers", "Name columns of numbers.")
        numbers = numbers.fill_nan(None)
        if numbers.null_count() == len(numbers):
            raise self.error(
                None,
                column,
                "no value at all",
                "numbers",
                "Leave this column out, or give a table in which it is filled.",
            )
        self._check_size(numbers, column)
        return numbers

    def read_numbers(self, texts: pl.Series) -> pl.Series:
        """Texts as Float64, null where one is no number; with a decimal comma where semicolons stand between cells."""
        numbers = _cast(texts)
        if numbers.null_count() > texts.null_count():
            numbers = _cast(texts.str.strip_chars())
        if self.separator == ";" and numbers.null_count() > texts.null_count():
            numbers = _cast(texts.str.strip_chars().str.replace(",", ".", literal=True))
        return numbers

    def _check_numbers(self, values: pl.Series, numbers: pl.Series, column: str) -> None:
        wrong = numbers.is_null() & values.is_not_null()
        if not wrong.any():
            return
        index = int(wrong.arg_max() or 0)
        text = values[index]
        shown = text if len(text) <= 60 else text[:57] + "..."
        raise self.error(
            index,
            column,
            f'"{shown}"',
            "a number",
            f'Empty cells are treated as missing; replace "{shown}" by a number or nothing, '
            f'or pass --missing "{shown}".',
        )

    def _check_size(self, numbers: pl.Series, column: str) -> None:
        if (largest := numbers.abs().max()) is None or float(largest) <= LARGEST:  # type: ignore[arg-type]
            return
        index = int((numbers.abs() > LARGEST).arg_max() or 0)
        infinite = np.isinf(numbers[index])
        raise self.error(
            index, column, "an infinite value" if infinite else f"{numbers[index]:g}",
            "a finite number" if infinite else "a number below 3e38",
            "Leave the cell empty if the value is missing, or correct it.",
        )  # fmt: skip


def open_table(
    source: Any, *, missing: Sequence[str] = (), header: bool | None = None, expected: Collection[str] = ()
) -> Table:
    """Read a table without interpreting it.

    Args:
        source: path of a CSV, TSV, JSON lines (each also .gz) or Parquet file; a polars or pandas DataFrame.
        missing: texts that mean a missing value, besides the empty cell.
        header: whether the first row of CSV or TSV has the names; None guesses, and says so if it has none.
        expected: names of columns that the table should have, as the training table had them.

    Raises DataError (see ``data.content`` and ``data.delimited`` for what is refused).
    """
    missing = tuple(missing)
    if isinstance(source, (str, Path)):
        return _open_file(Path(source), missing, header, expected)
    if isinstance(source, pl.LazyFrame):
        source = source.collect()
    frame = source if isinstance(source, pl.DataFrame) else _from_pandas(source)
    return _checked(Table("table", frame, missing))


def read_table(source: Any, *, missing: Sequence[str] = (), header: bool | None = None) -> pl.DataFrame:
    """A table with columns of numbers where every value is one, and texts elsewhere; missing values are null.

    Numbers written with leading zeros, such as article codes, stay text. Arguments and errors as ``open_table``.
    """
    table = open_table(source, missing=missing, header=header)
    return pl.DataFrame([_typed(table.values(name)) for name in table.frame.columns])


def _open_file(path: Path, missing: tuple[str, ...], header: bool | None, expected: Collection[str]) -> Table:
    source = str(path)
    if is_parquet(path):
        return _checked(Table(source, _read_parquet(path), missing))
    content = read_content(path)
    stem = path.name.lower().removesuffix(".gz")
    if stem.endswith(".parquet"):
        raise DataError(path, "no Parquet", "a Parquet file, as its name says", "Write it again, or rename it.")
    if stem.endswith(JSON_ENDINGS):
        frame, lines = parse_jsonlines(content, source)
        return Table(source, frame, missing, rows=lines)
    text = parse_delimited(content, source, stem.endswith(TAB_ENDINGS), header, expected)
    return Table(source, text.frame, missing, text.first, text.rows, text.separator)


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(path, f"a damaged Parquet file ({reason})", "a whole one", "Write it again.") from error


def _from_pandas(source: Any) -> pl.DataFrame:
    """Column by column, since polars asks for pyarrow otherwise; a named or dated index becomes a column."""
    if not type(source).__module__.startswith("pandas") or not hasattr(source, "columns"):
        raise DataError(
            "table", f"the type {type(source).__name__}", "a path or a polars or pandas DataFrame", "Pass one of these."
        )  # fmt: skip
    if source.index.name is not None or "datetime" in str(source.index.dtype):
        source = source.rename_axis(index=source.index.name or "time").reset_index()
    columns = [(str(name), source[name]) for name in source.columns]
    if len({name for name, _ in columns}) < len(columns):
        raise DataError("table", "several columns of one name", "each name once", "Rename one of them.")
    return pl.DataFrame([_from_pandas_column(name, values) for name, values in columns])


def _from_pandas_column(name: str, values: Any) -> pl.Series:
    zone = getattr(values.dtype, "tz", None)
    if zone is not None:
        plain = values.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
        return pl.Series(name, plain).dt.replace_time_zone("UTC").dt.convert_time_zone(str(zone))
    return pl.Series(name, values.tolist() if values.dtype == object else values.to_numpy(), strict=False)


def _checked(table: Table) -> Table:
    if table.frame.width == 0 or table.height == 0:
        raise DataError(table.source, "a table without rows", "columns and rows", "Give a table with rows.")
    return table


def _cast(values: pl.Series) -> pl.Series:
    return values.cast(pl.Float64, strict=False)


def _typed(values: pl.Series) -> pl.Series:
    """Numbers, where all values are; text otherwise."""
    if values.dtype != pl.String or values.null_count() == len(values):
        return values
    for kind in (pl.Int64, pl.Float64):
        sample = values.head(1000)
        if sample.cast(kind, strict=False).null_count() > sample.null_count():
            continue
        numbers = values.cast(kind, strict=False)
        if numbers.null_count() == values.null_count() and not values.str.contains(r"^[-+]?0\d").any():
            return numbers
    return values
