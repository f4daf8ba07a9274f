"""The bytes of a table's file, checked before anything interprets them: size, kind, encoding, length of lines."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from echoic.errors import DataError

MAXIMUM_BYTES = 2**32  # of one file, unpacked
MAXIMUM_LINE = 2**24  # bytes: longer lines are no rows of a table
CHUNK = 2**22
GZIP = b"\x1f\x8b"
KINDS = {
    b"PK\x03\x04": ("a zip archive or spreadsheet", "Save the sheet as CSV (UTF-8), or unpack the archive."),
    b"\xd0\xcf\x11\xe0": ("an old Excel file", "Save the sheet as CSV (UTF-8)."),
    b"%PDF": ("a PDF file", "Export the table as CSV."),
    b"\x28\xb5\x2f\xfd": ("a zstd archive", "Unpack it, or use gzip."),
    b"BZh": ("a bzip2 archive", "Unpack it, or use gzip."),
    b"\xfd7zXZ": ("an xz archive", "Unpack it, or use gzip."),
    b"SQLite format": ("a database", "Export the table as CSV."),
}
EXPECTED = "a table as UTF-8 text (CSV, TSV, JSON lines) or Parquet"
CONVERT = 'Save the file as "CSV UTF-8", or convert it: iconv -f {} -t UTF-8 {} > utf8.csv'


def read_content(path: Path) -> bytes:
    """The file's bytes, unpacked if it is gzip, with lines ended by \\n alone. Text is known to be UTF-8.

    Raises DataError for what is missing, empty, too large, binary, in another encoding, or has an endless line.
    """
    if not path.exists():
        raise DataError(path, "no such file", "a table", "Check the path.")
    if path.is_dir():
        raise DataError(path, "a folder", "a file with a table", "Name a file in it.")
    checker = _Checker(path)
    pieces = []
    for piece in _pieces(path):
        checker.check(piece)
        pieces.append(piece)
    checker.finish()
    content = b"".join(pieces)
    pieces.clear()
    if content.startswith(codecs.BOM_UTF8):
        content = content[len(codecs.BOM_UTF8) :]
    if b"\r" in content[:MAXIMUM_LINE]:
        content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not content or content.isspace():
        raise DataError(path, "an empty file", "a header line and rows", "Give a file with a table in it.")
    return content


def is_parquet(path: Path) -> bool:
    """Whether the file begins as Parquet does, whatever its name."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _pieces(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as probe:
            packed = probe.read(2) == GZIP
        with gzip.open(path) if packed else path.open("rb") as file:
            while piece := file.read(CHUNK):
                yield piece
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            path, f"a damaged gzip file ({error})", "a whole one", "Copy or download the file again."
        ) from error
    except OSError as error:
        raise DataError(
            path,
            f"a file that cannot be read ({error.strerror or error})",
            "a readable file",
            "Check the path and its rights.",
        ) from error


class _Checker:
    """Checks piece after piece, so that nothing is held before it is known to be fit."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.size = self.lines = self.since_line_end = 0

    def check(self, piece: bytes) -> None:
        if self.size == 0:
            self._kind(piece)
        self.size += len(piece)
        if self.size > MAXIMUM_BYTES:
            raise DataError(
                self.path,
                f"more than {MAXIMUM_BYTES // 2**30} GiB of text",
                "less",
                "Save the table as Parquet, or cut it.",
            )
        zero = piece.find(b"\0")
        if zero >= 0:
            raise DataError(
                self.path,
                f"a binary file (a zero byte in line {self._line(piece, zero)})",
                EXPECTED,
                "Export the table as CSV.",
            )
        self._encoding(piece, final=False)
        self._line_length(piece)
        self.lines += piece.count(b"\n") or (0 if b"\r\n" in piece else piece.count(b"\r"))

    def finish(self) -> None:
        self._encoding(b"", final=True)

    def _kind(self, piece: bytes) -> None:
        for magic, (kind, remedy) in KINDS.items():
            if piece.startswith(magic):
                raise DataError(self.path, kind, EXPECTED, remedy)
        if piece.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise DataError(self.path, "text in UTF-16", EXPECTED, CONVERT.format("UTF-16", self.path))

    def _encoding(self, piece: bytes, final: bool) -> None:
        held = self.decoder.getstate()[0]
        try:
            self.decoder.decode(piece, final)
        except UnicodeDecodeError as error:
            place = error.start - len(held)
            byte = (held + piece)[error.start]
            raise DataError(
                self.path,
                f"byte 0x{byte:02X} in line {self._line(piece, max(place, 0))}, which is not UTF-8 "
                "(Latin-1, Windows or GB18030 text?)",
                EXPECTED,
                CONVERT.format("WINDOWS-1252", self.path) + " (or GB18030 for Chinese text)",
            ) from error

    def _line_length(self, piece: bytes) -> None:
        first, last = piece.find(b"\n"), piece.rfind(b"\n")
        if first < 0:
            first, last = piece.find(b"\r"), piece.rfind(b"\r")
        longest = self.since_line_end + (len(piece) if first < 0 else first)
        if longest > MAXIMUM_LINE:
            raise DataError(
                self.path,
                f"line {self.lines + 1} longer than {MAXIMUM_LINE // 2**20} MiB",
                "a row of a table in each line",
                "Check that rows end with line breaks and that every quotation mark is closed.",
            )
        self.since_line_end = longest if first < 0 else len(piece) - last - 1

    def _line(self, piece: bytes, place: int) -> int:
        return self.lines + piece.count(b"\n", 0, place) + 1
