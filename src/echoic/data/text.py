"""Text as it comes: a file, a folder of files, a column of a table, or strings in memory."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from echoic.data.table import read_table
from echoic.errors import DataError
from echoic.notices import notice

TABLE_ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".csv.gz", ".tsv.gz", ".jsonl.gz")
TEXT_ENDINGS = (".txt", ".txt.gz", ".text", ".md")
MAXIMUM_BYTES = 2**31  # of one file, unpacked: a larger one is refused before it fills the memory
CHUNK = 2**22


@dataclass(frozen=True)
class Corpus:
    """Texts to learn from.

    source: where they came from, for messages.
    documents: the texts, in their order.
    separate: True if each document begins and ends by itself (rows of a table, lines); False for running text, whose
        end is only where the file was cut.
    """

    source: str
    documents: list[str]
    separate: bool

    @property
    def characters(self) -> int:
        """Characters of all documents together."""
        return sum(map(len, self.documents))


def read_corpus(source: Any, column: str | None = None, lines: bool = False) -> Corpus:
    """Read texts.

    Args:
        source: path of a text file (plain or .gz, UTF-8), of a folder of .txt files (a document each) or of a table (a
            document in each row); a string that holds text (more than one line); a list of strings (a document each); a
            polars DataFrame.
        column: the column of a table that holds the text; guessed and said if None.
        lines: each line of a text is a document of its own.

    Raises DataError for a file that is missing, empty, binary, not UTF-8, or larger than 2 GiB.
    """
    corpus = _read(source, column)
    if lines:
        split = [line for text in corpus.documents for line in text.split("\n") if line.strip()]
        corpus = Corpus(corpus.source, split, True)
    if not any(text.strip() for text in corpus.documents):
        raise DataError(corpus.source, "an empty text", "text to learn from", "Give a file with text in it.")
    return corpus


def _read(source: Any, column: str | None) -> Corpus:
    if isinstance(source, pl.DataFrame):
        return Corpus("table", column_of_texts(source, "table", column), True)
    if isinstance(source, str) and is_text(source):
        return Corpus("text", [tidy(source, "text")], False)
    if isinstance(source, (str, Path)):
        return _read_path(Path(source), column)
    if isinstance(source, Sequence) and all(isinstance(text, str) for text in source):
        return Corpus("list", [tidy(text, f"list, item {i}") for i, text in enumerate(source)], True)
    raise DataError(
        type(source).__name__, f"a {type(source).__name__}", "a path, a text, a list of texts or a polars DataFrame",
        "Pass the path of a text file.",
    )  # fmt: skip


def is_table(source: Any) -> bool:
    """True for the path of a table."""
    return isinstance(source, (str, Path)) and str(source).lower().endswith(TABLE_ENDINGS)


def is_text(source: str) -> bool:
    """True for a string that is itself text, not a path: it has several lines or is longer than a path can be."""
    return "\n" in source or len(source) > 4096


def _read_path(path: Path, column: str | None) -> Corpus:
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.name.lower().endswith(TEXT_ENDINGS) and p.is_file())
        if not files:
            raise DataError(path, "no .txt file in the folder", "text files", "Name a folder that holds some.")
        return Corpus(str(path), [read_text(file) for file in files], False)
    if not path.exists():
        raise DataError(path, "no such file", "a text file", "Check the path (a text in memory needs two lines).")
    if is_table(path):
        return Corpus(str(path), column_of_texts(read_table(path), str(path), column), True)
    return Corpus(str(path), [read_text(path)], False)


def read_text(path: Path) -> str:
    """The text of one UTF-8 file, plain or gzipped, with line ends made ``\\n``. Raises DataError."""
    content = _bytes(path)
    if not content:
        raise DataError(path, "an empty file", "text", "Give a file with text in it.")
    return tidy(_decode(content, path), str(path))


def _bytes(path: Path) -> bytes:
    """The file's content, unpacked where it begins as gzip does; never more than the limit is held."""
    try:
        with path.open("rb") as probe:
            packed = probe.read(2) == b"\x1f\x8b"
        pieces, size = [], 0
        with gzip.open(path) if packed else path.open("rb") as file:
            while piece := file.read(CHUNK):
                size += len(piece)
                if size > MAXIMUM_BYTES:
                    raise DataError(
                        path, f"more than {MAXIMUM_BYTES:,} bytes", f"at most {MAXIMUM_BYTES:,} bytes of text",
                        "Train on a part of it: cut the file.",
                    )  # fmt: skip
                pieces.append(piece)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(path, f"what cannot be read ({error})", "a readable file", "Restore or unpack it.") from error
    return b"".join(pieces)


def _decode(content: bytes, path: Path) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(path, "UTF-16", "UTF-8", f"Convert it: iconv -f UTF-16 -t UTF-8 {path.name} > new.txt", row=1)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        found = f"the byte 0x{content[error.start]:02X} at offset {error.start:,}, which is not UTF-8"
        remedy = (
            f"Save it as UTF-8, or convert it: iconv -f ENCODING -t UTF-8 {path.name} > new.txt "
            "(ENCODING is often LATIN1, CP1252 or GB18030)."
        )
        raise DataError(path, found, "UTF-8 text", remedy, row=row) from error
    if (place := text.find("\0")) >= 0:
        row = text.count("\n", 0, place) + 1
        raise DataError(path, "a NUL character", "text", "This is a binary file: export its text first.", row=row)
    return text


def tidy(text: str, source: str) -> str:
    """The text without a byte-order mark and with ``\\n`` line ends; says what it changed."""
    if text.startswith("\ufeff"):
        notice(f"{source}: the byte-order mark at the beginning was removed.")
        text = text[1:]
    if "\r" in text:
        notice(f"{source}: line ends CR LF (or CR) were read as LF.")
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text


def column_of_texts(table: pl.DataFrame, source: str, column: str | None) -> list[str]:
    """The texts of a column; empty cells are left out. Without a name, the column with the longest texts is taken."""
    if column is None:
        column = guess_text_column(table, source)
    remedy = "Name a column of texts: --text NAME."
    if column not in table.columns:
        raise DataError(source, f"the columns {', '.join(table.columns)}", f'a column "{column}"', remedy)
    if table.schema[column] != pl.String:
        raise DataError(source, f"{table.schema[column]} values", "texts", remedy, column=column)
    texts = table.get_column(column).drop_nulls()
    if missing := table.height - len(texts):
        notice(f'{source}: {missing} empty cells of column "{column}" were left out.')
    return [tidy(text, source) if "\r" in text else text for text in texts.to_list()]


def guess_text_column(table: pl.DataFrame, source: str) -> str:
    """The column whose texts are longest on average; said, where there was a choice. Raises DataError if none."""
    names = [name for name, kind in table.schema.items() if kind == pl.String]
    if not names:
        raise DataError(source, "no column of texts", "a column of texts", "Give a table with a text in each row.")
    if len(names) == 1:
        return names[0]
    lengths = table.select(pl.col(name).str.len_chars().mean().fill_null(0) for name in names).row(0)
    longest = names[max(range(len(names)), key=lengths.__getitem__)]
    notice(f'{source}: the text was taken from column "{longest}" (of {", ".join(names)}); --text names another.')
    return longest
