"""CSV and TSV text into columns of text: nothing is interpreted here, and no row is bent to fit."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Collection, Generator
from dataclasses import dataclass

import numpy as np
import polars as pl

from echoic.data.content import MAXIMUM_LINE
from echoic.data.wording import counted
from echoic.errors import DataError
from echoic.notices import notice

SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}
SNIFFED = 2**16  # bytes looked at to find the separator
LOOKED_AT = 200  # rows, to tell names from data
QUOTES = re.compile(rb'(?:^|\t)"', re.MULTILINE)
QUOTED = re.compile(rb'(?:^|(?<=\t))"(?:[^"]|"")*"(?=\t|$)', re.MULTILINE)
MADE_UP = re.compile(r"column_\d+")  # names of columns that have none
ENDS = (".", "!", "?", "…", "。", "！", "？", "．", "؟", "।")  # of sentences
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}([-/.]\d{1,4})?([ T]\d{1,2}:\d{2}.*)?$")


@dataclass(frozen=True)
class Delimited:
    """Text of a table.

    frame: columns of text; rows[i], or i + first where rows is None, is the line at which record i begins.
    """

    frame: pl.DataFrame
    separator: str
    first: int
    rows: np.ndarray | None


def parse_delimited(
    content: bytes, source: str, tabs: bool, header: bool | None, expected: Collection[str] = ()
) -> Delimited:
    """Columns of text from CSV or TSV.

    Args:
        content: UTF-8 with lines ended by \\n.
        source: for messages.
        tabs: the file's name says tabs.
        header: whether the first row has the names; None: guessed, and said if it has none. Columns without names are
            column_1, column_2, ...
        expected: names of columns that the table should have, by which the guess is better.

    Raises DataError for rows of other width than the first, unclosed quotes, and empty or repeated names.
    """
    separator = _separator(content, tabs)
    quote = None if separator == "\t" and not _quoted(content) else '"'
    records = _records(content, separator, quote, source)
    head = list(itertools.islice(records, LOOKED_AT))
    records.close()
    blank = next((place for place, (_, record) in enumerate(head) if record), len(head))
    head = [(line, record) for line, record in head if record]
    if not head:
        raise DataError(source, "blank lines", "a header line and rows", "Delete blank lines at the top.")
    line, first = head[0]
    if header is None and (named := _has_names(first, expected)) is not None:
        header = named
    elif header is None:
        header = not _looks_like_data([record for _, record in head])
        if not header:
            notice(f"{source}: the first row looks like data, not names; columns are called column_1, column_2, ...")
    names = [name.strip() for name in first] if header else [f"column_{i + 1}" for i in range(len(first))]
    if header:
        _check_names(names, source, separator, line)
    frame = _parse(content, separator, quote, names, source)
    last = frame.get_column(names[-1])
    if len(names) > 1 and last.null_count():
        _check_widths(content, separator, quote, len(names), source)
    skip = blank + int(header)
    frame = frame.slice(skip)
    if frame.height == 0:
        raise DataError(source, "a header line only", "rows below it", "Give a table with rows.")
    lines = _lines(content, separator, quote, skip, frame.height, source)
    return _without_blanks(Delimited(frame, separator, skip + 1, lines), source)


def _separator(content: bytes, tabs: bool) -> str:
    """The separator that most often splits the first lines into the same number of fields."""
    sample = content[:SNIFFED].decode("utf-8", "ignore")
    lines = [line for line in sample.split("\n")[:20] if line.strip()]
    lines = lines[:-1] if len(content) > SNIFFED and len(lines) > 1 else lines
    usual = "\t" if tabs else ","

    def score(separator: str) -> tuple[float, int, bool]:
        counts = [len(re.sub(r'"[^"]*"', "", line).split(separator)) - 1 for line in lines]
        even = float(np.mean([count == counts[0] for count in counts])) if counts and counts[0] else 0.0
        return (even if even > 0.9 else 0.0), counts[0] if counts else 0, separator == usual

    best = max(SEPARATORS, key=score)
    if score(best)[0] == 0:
        return usual
    if score(usual)[0] >= 0.9 and score(usual)[1]:
        return usual
    return best


def _quoted(content: bytes) -> bool:
    """Whether a tab-separated file quotes its fields; otherwise its quotation marks are part of the text."""
    starts = len(QUOTES.findall(content))
    return starts > 0 and starts == len(QUOTED.findall(content))


def _records(
    content: bytes, separator: str, quote: str | None, source: str
) -> Generator[tuple[int, list[str]], None, None]:
    """Line at which a record begins, and its fields; none for a blank line. DataError for quotes that do not match."""
    limit = csv.field_size_limit(MAXIMUM_LINE)
    line = 1
    try:
        text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="\n")
        quoting = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
        reader = csv.reader(text, delimiter=separator, quotechar=quote, quoting=quoting, strict=True)
        for record in reader:
            yield line, record
            line = reader.line_num + 1
    except csv.Error as error:
        endless = str(error) == "unexpected end of data"
        raise DataError(
            source, "a quotation mark that is never closed" if endless else f"text after a quotation mark ({error})",
            "quotation marks around whole fields",
            "Close the field; a quotation mark inside a quoted field is written twice.", line,
        ) from error  # fmt: skip
    finally:
        csv.field_size_limit(limit)


def _has_names(first: list[str], expected: Collection[str]) -> bool | None:
    """Whether a first row has the names, known from those that are expected; None where these tell nothing."""
    if any(name.strip() in expected for name in first):
        return True
    return False if expected and all(MADE_UP.fullmatch(name) for name in expected) else None


def _looks_like_data(head: list[list[str]]) -> bool:
    """Whether the first row holds values like those below it: numbers of the same size, dates, a text that comes again
    in its column (a label), or sentences above sentences.

    Names that are numbers (sensor 773869) lie outside the range of their columns, and so are taken as names.
    """
    first, rest = head[0], [record for record in head[1:] if len(record) == len(head[0])]
    if len(rest) < 2:
        return False
    alike = 0
    for place, value in enumerate(first):
        below = [record[place].strip() for record in rest if record[place].strip()]
        numbers = [number for number in map(_number, below) if number is not None]
        if below and len(numbers) == len(below):
            own = _number(value)
            spread = max(numbers) - min(numbers)
            if own is None or not min(numbers) - spread - 1 <= own <= max(numbers) + spread + 1:
                return False
            alike += 1
        elif below and all(DATE.match(text) for text in below):
            if not DATE.match(value.strip()):
                return False
            alike += 1
        elif below and (_comes_again(place, head) or _are_sentences(value, below)):
            alike += 1
    return alike > 0


def _comes_again(place: int, head: list[list[str]]) -> bool:
    """Whether a text of the first row stands again below it, in a row that is not the first one once more."""
    return len(head[0]) > 1 and any(
        record[place] == head[0][place] and record != head[0] for record in head[1:] if len(record) == len(head[0])
    )


def _are_sentences(first: str, below: list[str]) -> bool:
    ends = [text.rstrip("\"'”’»」』) ").endswith(ENDS) for text in (first, *below)]
    return ends[0] and sum(ends[1:]) > 0.5 * len(below)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _check_names(names: list[str], source: str, separator: str, line: int) -> None:
    for place, name in enumerate(names):
        if not name:
            raise DataError(
                source, f"no name for column {place + 1} of {len(names)}", "a name for every column",
                "Name it in the first line (pandas: save with index=False).", line,
            )  # fmt: skip
    seen: dict[str, int] = {}
    for place, name in enumerate(names):
        if name in seen:
            raise DataError(
                source, f'the name "{name[:80]}" for columns {seen[name] + 1} and {place + 1}', "each name once",
                "Rename one of them in the first line.", line,
            )  # fmt: skip
        seen[name] = place


def _parse(content: bytes, separator: str, quote: str | None, names: list[str], source: str) -> pl.DataFrame:
    try:
        return pl.read_csv(
            io.BytesIO(content), separator=separator, quote_char=quote, has_header=False,
            schema=dict.fromkeys(names, pl.String), truncate_ragged_lines=False,
        )  # fmt: skip
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        _check_widths(content, separator, quote, len(names), source)
        raise DataError(
            source,
            f"text that is no table ({str(error).splitlines()[0][:200]})",
            f"{SEPARATORS[separator]}-separated rows",
            "Check the quotation marks: a field that has one is put in quotation marks, with the inner one doubled.",
        ) from error


def _check_widths(content: bytes, separator: str, quote: str | None, width: int, source: str) -> None:
    """DataError for the first record whose number of fields is not ``width``."""
    if b'"' not in content and _same_width(content, separator, width):
        return
    for line, record in _records(content, separator, quote, source):
        if record and len(record) != width:
            raise DataError(
                source, counted(len(record), "field"), f"{width} as in the first row",
                f"Add or remove {SEPARATORS[separator]}s; a text that holds one belongs in quotation marks.", line,
            )  # fmt: skip


def _same_width(content: bytes, separator: str, width: int) -> bool:
    data = np.frombuffer(content.rstrip(b"\n") + b"\n", dtype=np.uint8)
    marks = data[(data == ord(separator)) | (data == ord("\n"))] == ord("\n")
    if len(marks) % width:
        return False
    marks = marks.reshape(-1, width)
    return bool(marks[:, -1].all() and not marks[:, :-1].any())


def _lines(content: bytes, separator: str, quote: str | None, skip: int, height: int, source: str) -> np.ndarray | None:
    """Lines at which the records begin; None where each is a line of its own."""
    if quote is None or content.count(b"\n") <= height + skip:
        return None
    lines = np.fromiter((line for line, _ in _records(content, separator, quote, source)), dtype=np.int64)
    return lines[skip : skip + height]


def _without_blanks(table: Delimited, source: str) -> Delimited:
    """Rows with no value at all are dropped; the others keep their numbers."""
    frame = table.frame
    if frame.width == 1 or not frame.get_column(frame.columns[-1]).null_count():
        return table
    filled = ~frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    if filled.all():
        return table
    if not filled.any():
        raise DataError(source, "rows without any value", "values", "Give a table with values in it.")
    rows = table.rows if table.rows is not None else np.arange(frame.height) + table.first
    return Delimited(frame.filter(filled), table.separator, table.first, rows[filled.to_numpy()])
