"""The .ts text format of the UEA and UCR archives of time series classification (Bagnall et al., 2018).

Header lines begin with @, comments with #. After @data each line is a case: its dimensions with ":" between, the values
of a dimension with "," between, "?" where one is missing, and last the class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from echoic.data.examples import Examples
from echoic.data.table import LARGEST
from echoic.data.text import read_text
from echoic.errors import DataError
from echoic.notices import notice

ENDINGS = (".ts", ".ts.gz")
FLAGS = ("timestamps", "missing", "univariate", "equallength", "classlabel", "targetlabel")
MISSING = {"?", "nan", ""}


@dataclass
class _Header:
    flags: dict[str, bool] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    classes: list[str] = field(default_factory=list)
    data_line: int | None = None


def is_ts(source: object) -> bool:
    """True for the path of a .ts file, packed or not."""
    return isinstance(source, str | Path) and str(source).lower().endswith(ENDINGS)


def read_ts(path: Path) -> Examples:
    """Cases of a .ts or .ts.gz file, univariate or multivariate, of any lengths, missing values as NaN.

    Raises DataError with the line: a header that contradicts the data, a value that is no number, a class that the
    header does not name, time stamps, a target that is no class.
    """
    source = str(path)
    lines = read_text(path).split("\n")
    header = _read_header(lines, source)
    assert header.data_line is not None
    items: list[np.ndarray] = []
    labels: list[str | None] = []
    rows: list[int] = []
    dimensions = header.numbers.get("dimensions")
    if header.flags.get("univariate"):
        dimensions = 1
    for row, line in _cases(lines, header.data_line):
        fields = line.split(":")
        label = _label(fields.pop(), header, source, row) if header.flags.get("classlabel") else None
        dimensions = dimensions or len(fields)
        if len(fields) != dimensions:
            raise DataError(
                source, f"{len(fields)} dimensions", f"{dimensions} as in the header or the case before",
                'Each dimension ends with ":"; the class comes last where @classLabel is true.', row=row,
            )  # fmt: skip
        items.append(_values(fields, header, source, row))
        labels.append(label)
        rows.append(row)
    if not items:
        raise DataError(source, "no case after @data", "a case in each line", "Check that the file is whole.")
    table = pl.DataFrame({"case": np.arange(1, len(items) + 1)})
    return Examples(source, items, labels, rows, table, [f"dimension {i + 1}" for i in range(dimensions or 1)])


def _cases(lines: list[str], data_line: int) -> Iterator[tuple[int, str]]:
    """Number (the first line of the file is 1) and content of the lines that hold a case."""
    for row, line in enumerate(lines[data_line:], start=data_line + 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield row, text


def _read_header(lines: list[str], source: str) -> _Header:
    header = _Header()
    for row, line in enumerate(lines, start=1):
        words = line.split()
        if not words or line.lstrip().startswith("#"):
            continue
        name = words[0].lower()
        if name == "@data":
            header.data_line = row
            break
        if not name.startswith("@"):
            raise DataError(
                source, f"{line.strip()[:40]!r} before @data", "a header line that begins with @",
                "A .ts file has its header, then a line @data, then a case in each line.", row=row,
            )  # fmt: skip
        _read_header_line(header, name[1:], words[1:], (source, row))
    if header.data_line is None:
        raise DataError(source, "no line @data", "a .ts file: header, @data, cases", "Check that the file is whole.")
    _refuse_what_is_not_classification(header, source)
    return header


def _read_header_line(header: _Header, name: str, words: list[str], place: tuple[str, int]) -> None:
    source, row = place
    if name in FLAGS:
        flag = words[0].lower() if words else ""
        if flag not in ("true", "false"):
            raise DataError(source, f'@{name} "{flag}"', "true or false", "Correct the header line.", row=row)
        header.flags[name] = flag == "true"
        if name == "classlabel":
            header.classes = words[1:]
    elif name in ("dimensions", "dimension", "serieslength"):
        if not words or not words[0].isdigit() or int(words[0]) < 1:
            raise DataError(
                source, f"@{name} {' '.join(words)!r}", "a whole number", "Correct the header line.", row=row
            )
        header.numbers["dimensions" if name != "serieslength" else name] = int(words[0])


def _refuse_what_is_not_classification(header: _Header, source: str) -> None:
    if header.flags.get("timestamps"):
        raise DataError(
            source, "@timeStamps true", "values without time stamps",
            "Write the series as a long table with columns for series, time, values and label, and train on that.",
        )  # fmt: skip
    if header.flags.get("targetlabel"):
        raise DataError(
            source, "@targetLabel (a number)", "@classLabel", "These data are for regression, not for classes."
        )
    if header.flags.get("univariate") and header.numbers.get("dimensions", 1) != 1:
        found = f"@univariate true and @dimensions {header.numbers['dimensions']}"
        raise DataError(source, found, "headers that agree", "Correct one of the two header lines.")


def _label(text: str, header: _Header, source: str, row: int) -> str | None:
    label = text.strip()
    if label == "?" or not label:
        return None
    if header.classes and label not in header.classes:
        raise DataError(
            source, f'the class "{label}"', f"a class of the header: {', '.join(header.classes[:20])}",
            "Add it to @classLabel, or correct the line (the class comes last, after a colon).", row=row,
        )  # fmt: skip
    return label


def _values(fields: list[str], header: _Header, source: str, row: int) -> np.ndarray:
    """[T, F] of one case; a dimension that ends before the others is missing at the end."""
    series = [_numbers(text, number, source, row) for number, text in enumerate(fields, start=1)]
    longest = max(map(len, series))
    expected = header.numbers.get("serieslength")
    if header.flags.get("equallength") and expected is not None and longest != expected:
        raise DataError(
            source, f"{longest} values", f"{expected}: the header says @equalLength true, @seriesLength {expected}",
            "Correct the header (@equalLength false) or the line.", row=row,
        )  # fmt: skip
    values = np.full((longest, len(series)), np.nan, np.float32)
    for number, one in enumerate(series):
        values[: len(one), number] = one
    if any(len(one) < longest for one in series):
        notice(f"{source}: dimensions of unequal length were filled up with missing values.")
    return values


def _numbers(text: str, dimension: int, source: str, row: int) -> np.ndarray:
    words = text.split(",") if text.strip() else []
    try:
        numbers = np.array(words, np.float64)
    except ValueError:
        numbers = np.array([_number(word, dimension, source, row) for word in words], np.float64)
    if (np.abs(numbers) > LARGEST).any():
        raise _not_a_number("an infinite or far too large value", dimension, source, row)
    return numbers


def _number(word: str, dimension: int, source: str, row: int) -> float:
    if word.strip().lower() in MISSING:
        return float("nan")
    try:
        return float(word)
    except ValueError:
        raise _not_a_number(repr(word.strip()[:40]), dimension, source, row) from None


def _not_a_number(found: str, dimension: int, source: str, row: int) -> DataError:
    return DataError(
        source, f"{found} in dimension {dimension}", 'a finite number, or "?" where it is missing',
        "Correct the line.", row=row,
    )  # fmt: skip
