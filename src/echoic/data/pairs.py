"""Pairs of texts: two columns of a table, two files with a line for each pair, or lists in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from echoic.data.table import Table, open_table
from echoic.data.text import is_table, read_text
from echoic.errors import DataError
from echoic.notices import notice

SOURCE_NAMES = ("source", "src", "input", "text", "document", "article", "body")
TARGET_NAMES = (
    "target", "tgt", "trg", "output", "translation", "reference", "summary", "highlights", "abstract", "headline",
    "subject", "title",
)  # fmt: skip
NOT_TEXT_NAMES = ("id", "key", "index", "uuid", "guid", "url", "link", "file", "filename", "path", "date", "time")


@dataclass(frozen=True)
class PairColumns:
    """Columns of a table; None for what is not known, or for data without columns."""

    source: str | None = None
    target: str | None = None

    def all_names(self) -> tuple[str, ...]:
        """The names of those that are known."""
        return tuple(name for name in (self.source, self.target) if name is not None)


@dataclass(frozen=True)
class Pairs:
    """Texts with what is to be made of them.

    origin: file they came from, or "list" and the like for data in memory.
    sources: the texts.
    targets: what belongs to each; None where that is not known.
    rows: where each stands in its file as an editor shows it.
    table: the columns as they came, a row for each pair, for the predictions.
    """

    origin: str
    sources: list[str]
    targets: list[str | None]
    rows: list[int]
    table: pl.DataFrame

    def __len__(self) -> int:
        return len(self.sources)

    def take(self, numbers: Sequence[int] | np.ndarray) -> Pairs:
        """The pairs with these numbers, in this order."""
        numbers = np.asarray(numbers, np.int64)
        sources, targets, rows = ([values[i] for i in numbers] for values in (self.sources, self.targets, self.rows))
        return Pairs(self.origin, sources, targets, rows, self.table[numbers])

    def with_targets(self) -> Pairs:
        """The same; DataError if there are no targets at all."""
        if all(target is None for target in self.targets):
            raise DataError(
                self.origin, "texts without a target", "a target for each",
                "Name its column (--target NAME), or the file with a line for each (--target-file FILE).",
            )  # fmt: skip
        return self


def read_pairs(
    source: Any, columns: PairColumns | None = None, target_file: Path | None = None, header: bool | None = None
) -> tuple[Pairs, PairColumns]:
    """Read pairs, and say which columns they are from.

    Args:
        source: path of a table (CSV, TSV, JSON lines, Parquet, also .gz) or of a text file with a source a line (.gz,
            too); a polars DataFrame; a tuple of two lists of texts; a list of texts.
        columns: of a table; what is None is guessed, which is said. A target need not be there.
        target_file: text file whose n-th line belongs to the n-th line of the source.
        header: whether the first line of CSV or TSV has the names; None guesses.

    Raises:
        DataError: a file that cannot be read, a column that is not there, files with unequal numbers of lines.
    """
    columns = columns or PairColumns()
    if isinstance(source, tuple) and len(source) == 2:
        return _from_lists(list(source[0]), list(source[1])), columns
    if isinstance(source, list | pl.Series):
        return _from_lists(list(source), None), columns
    if isinstance(source, str | Path) and (target_file is not None or not is_table(source)):
        return _from_files(Path(source), target_file), columns
    return _from_table(open_table(source, header=header, expected=columns.all_names()), columns)


def target_beside(path: Path, target_file: Path) -> Path | None:
    """The file with the targets of ``path``, named as the targets of the training are: for a ``target_file`` train.en
    and the path test.de it is test.en. None if there is no such file."""
    packed = {name: ".gz" if name.name.lower().endswith(".gz") else "" for name in (path, target_file)}
    plain, model = (Path(name.name[: len(name.name) - len(packed[name])]) for name in (path, target_file))
    for ending in dict.fromkeys([packed[target_file], packed[path], ".gz", ""]):
        candidate = path.with_name(plain.stem + model.suffix + ending)
        if candidate != path and candidate.is_file():
            return candidate
    return None


def _from_lists(sources: list[str], targets: list[str] | None) -> Pairs:
    if targets is not None and len(targets) != len(sources):
        raise DataError("lists", f"{len(targets)} targets", f"{len(sources)}, one for each source", "Pass both alike.")
    wrong = next((type(text).__name__ for text in [*sources, *(targets or [])] if not isinstance(text, str)), None)
    if wrong is not None:
        raise DataError("lists", f"a {wrong}", "texts", "Pass a list of texts, or a pair of such lists.")
    columns = {"source": sources} | ({} if targets is None else {"target": targets})
    return _pairs("lists", sources, targets, list(range(1, len(sources) + 1)), pl.DataFrame(columns))


def _from_files(source: Path, target: Path | None) -> Pairs:
    sources = _lines(source)
    targets = None if target is None else _lines(target)
    if targets is not None and len(targets) != len(sources):
        raise DataError(
            target or source, f"{len(targets):,} lines", f"{len(sources):,} as in {source}",
            "Each line must belong to the line of the same number: give files that do.",
        )  # fmt: skip
    columns = {"source": sources} | ({} if targets is None else {"target": targets})
    return _pairs(str(source), sources, targets, list(range(1, len(sources) + 1)), pl.DataFrame(columns))


def _lines(path: Path) -> list[str]:
    if not path.exists():
        raise DataError(path, "no such file", "a text file with a line for each pair", "Check the path.")
    if path.is_dir():
        raise DataError(path, "a folder", "a text file with a line for each pair", "Name a file in it.")
    lines = read_text(path).split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _from_table(table: Table, columns: PairColumns) -> tuple[Pairs, PairColumns]:
    columns = _guessed(table, columns)
    assert columns.source is not None
    sources = table.texts(columns.source)
    known = columns.target is not None and columns.target in table.frame.columns
    targets = table.texts(columns.target).to_list() if known and columns.target is not None else None
    rows = table.row_numbers().tolist()
    return _pairs(table.source, sources.fill_null("").to_list(), targets, rows, table.frame), columns


def _guessed(table: Table, columns: PairColumns) -> PairColumns:
    """Columns by the names that are usual, else the first two of text that no name calls an identifier. A named source
    must be there."""
    names = table.frame.columns
    if columns.source is not None:
        if columns.source not in names:
            raise table.error(
                None, None, f"the columns {', '.join(names)}", f'a column "{columns.source}"',
                "Rename the column, or name another: --source NAME.",
            )  # fmt: skip
        if columns.target is not None:
            return columns
    free = [name for name in names if name not in (columns.source, columns.target) and _is_text(table, name)]
    source = columns.source or _named(free, SOURCE_NAMES)
    target = columns.target or _named([name for name in free if name != source], TARGET_NAMES)
    left = [name for name in free if name not in (source, target) and not _is_identifier(name)]
    source = source or (left.pop(0) if left else None)
    target = target or (left.pop(0) if left else None)
    if source is None:
        raise table.error(None, None, f"no text in {', '.join(names)}", "a column of texts", "Name it: --source NAME.")
    said = f'the source is column "{source}"' + (f', the target column "{target}"' if target else "")
    notice(f"{table.source}: {said}; --source and --target name others.")
    return PairColumns(source, target)


def _is_text(table: Table, name: str) -> bool:
    values = table.values(name).head(1000)
    if values.dtype != pl.String or values.null_count() == len(values):
        return False
    return table.read_numbers(values).null_count() > values.null_count()


def _is_identifier(name: str) -> bool:
    return name.lower() in NOT_TEXT_NAMES or name.lower().endswith(("_id", "_url", "_date"))


def _named(free: list[str], names: tuple[str, ...]) -> str | None:
    by_name = {column.lower(): column for column in free}
    return next((by_name[name] for name in names if name in by_name), None)


def _pairs(
    origin: str, sources: list[str], targets: Sequence[str | None] | None, rows: list[int], table: pl.DataFrame
) -> Pairs:
    if not sources:
        raise DataError(origin, "no texts", "a text for each row", "Give a file with texts in it.")
    return Pairs(origin, sources, list(targets) if targets is not None else [None] * len(sources), rows, table)
