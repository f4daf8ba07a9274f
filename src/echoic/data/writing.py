"""Tables written whole or not at all, in the format their name asks for."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl

from echoic.errors import OptionError
from echoic.runs.files import atomic_write_bytes

WRITERS: dict[str, Callable[[pl.DataFrame, io.BytesIO], None]] = {
    ".csv": lambda table, file: table.write_csv(file),
    ".tsv": lambda table, file: table.write_csv(file, separator="\t"),
    ".parquet": lambda table, file: table.write_parquet(file),
    ".jsonl": lambda table, file: table.write_ndjson(file),
}


def ending(path: Path) -> str:
    """What a file's name says of its format, in lower case and without ".gz"."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def check_path(path: Path, endings: Sequence[str]) -> None:
    """Refuse, before any work, a file that cannot be written. Raises OptionError."""
    if ending(path) not in endings:
        raise OptionError(f"--out {path}: found the ending {path.suffix!r}, expected one of {', '.join(endings)}.")
    if path.is_dir():
        raise OptionError(f"--out {path}: is a folder, expected a file.")
    if not path.absolute().parent.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise OptionError(f"--out {path}: the folder {path.absolute().parent} does not exist or cannot be written to.")


def write_table(path: Path, table: pl.DataFrame) -> None:
    """Write a table as the file's ending says."""
    buffer = io.BytesIO()
    WRITERS[ending(path)](table, buffer)
    _write(path, buffer.getvalue())


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text."""
    _write(path, text.encode("utf-8"))


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all; packed if the name ends in .gz (without a date, so that equal content is equal bytes)."""
    atomic_write_bytes(path, gzip.compress(content, mtime=0) if path.name.lower().endswith(".gz") else content)
