"""Tables written whole or not at all, in the format their name asks for."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
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


def check_table_path(path: Path) -> None:
    """Refuse, before any work, a file that cannot be written. Raises OptionError."""
    if path.suffix.lower() not in WRITERS:
        raise OptionError(f"--out {path}: found the ending {path.suffix!r}, expected one of {', '.join(WRITERS)}.")
    if path.is_dir():
        raise OptionError(f"--out {path}: is a folder, expected a file.")
    if not path.absolute().parent.is_dir() or not os.access(path.absolute().parent, os.W_OK):
        raise OptionError(f"--out {path}: the folder {path.absolute().parent} does not exist or cannot be written to.")


def write_table(path: Path, table: pl.DataFrame) -> None:
    """Write a table as the file's ending says."""
    buffer = io.BytesIO()
    WRITERS[path.suffix.lower()](table, buffer)
    atomic_write_bytes(path, buffer.getvalue())
