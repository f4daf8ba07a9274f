"""Word vectors from text files: GloVe (no header), word2vec and fastText (a header with number and size)."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from echoic.errors import DataError
from echoic.notices import notice

MAXIMUM_SIZE = 4096  # features of a vector
MAXIMUM_VALUES = 2**28  # of a table of vectors: 1 GiB
MAXIMUM_LINE = 2**17  # bytes
GZIP = b"\x1f\x8b"


def read_word_vectors(path: Path, words: int) -> tuple[list[str], np.ndarray]:
    """The first words of a file (the most frequent ones, as such files are made) and their vectors.

    Args:
        path: UTF-8 text, also .gz; "word 0.1 -0.2 ..." in each line, blanks between.
        words: how many to read at most.

    Returns:
        Words and float32 [N, D]. A word that stands twice keeps its first vector; that is said.

    Raises:
        DataError: no such file; a line of another size than the first, or a value that is no finite number, with its
            row; more values than fit in 1 GiB.
    """
    if not path.is_file():
        raise DataError(path, "no such file", "word vectors as text", "Check the path.")
    names: list[str] = []
    known: set[str] = set()
    table: np.ndarray | None = None
    repeated = 0
    for row, line in _lines(path):
        pieces = line.rstrip().split(" ")
        if row == 1 and len(pieces) == 2 and all(piece.isdecimal() for piece in pieces):
            _check_size(path, int(pieces[1]), row)
            continue
        if table is None:
            size = _check_size(path, _size_of_first(pieces), row)
            words = _check_count(path, words, size)
            table = np.empty((words, size), np.float32)
        vector = _vector(path, row, pieces, table.shape[1])
        word = " ".join(pieces[: -table.shape[1]])
        if word in known:
            repeated += 1
            continue
        table[len(names)] = vector
        known.add(word)
        names.append(word)
        if len(names) == len(table):
            notice(f"{path}: the first {len(names):,} words were read; --set vector_words=N reads more.")
            break
    if table is None:
        raise DataError(path, "no vector", "a word and its numbers in each line", "Give a file with vectors.")
    if repeated:
        notice(f"{path}: {repeated:,} words stand more than once; the first vector of each was kept.")
    return names, table[: len(names)].copy()


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Rows with their numbers, none longer than the limit, decoded."""
    row = 0
    try:
        with path.open("rb") as probe:
            packed = probe.read(2) == GZIP
        file: IO[bytes]
        with gzip.open(path) if packed else path.open("rb") as file:  # pyright: ignore[reportAssignmentType]
            while line := file.readline(MAXIMUM_LINE + 1):
                row += 1
                if len(line) > MAXIMUM_LINE:
                    raise DataError(
                        path, f"a line of more than {MAXIMUM_LINE:,} bytes", "a word and its numbers",
                        "Only vectors as text can be read; convert binary ones (save_word2vec_format).", row,
                    )  # fmt: skip
                if line.strip():
                    yield row, line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            path, f"a byte that is not UTF-8 ({error.reason})", "UTF-8 text",
            "Only vectors as text can be read; convert binary ones (save_word2vec_format).", row,
        ) from error  # fmt: skip
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(path, f"what cannot be read ({error})", "a readable file", "Restore or unpack it.") from error


def _size_of_first(pieces: list[str]) -> int:
    """Numbers at the end of a line; a word may hold blanks, but the first of a file never does."""
    return len(pieces) - 1


def _check_size(path: Path, size: int, row: int) -> int:
    if not 1 <= size <= MAXIMUM_SIZE:
        raise DataError(
            path, f"vectors of {size:,} numbers", f"1 to {MAXIMUM_SIZE:,}",
            "Give lines of a word and its numbers, with blanks between.", row,
        )  # fmt: skip
    return size


def _check_count(path: Path, words: int, size: int) -> int:
    """No more rows than the file can hold: each number takes two bytes at the least."""
    packed = 200 if path.name.endswith(".gz") else 1
    possible = packed * path.stat().st_size // (2 * size) + 1
    words = min(words, possible)
    if words * size > MAXIMUM_VALUES:
        raise DataError(
            path, f"{words:,} vectors of {size} numbers", f"at most {MAXIMUM_VALUES:,} numbers",
            "Read fewer: --set vector_words=N.",
        )  # fmt: skip
    return words


def _vector(path: Path, row: int, pieces: list[str], size: int) -> np.ndarray:
    if len(pieces) <= size:
        raise DataError(
            path, f"{len(pieces) - 1} numbers", f"{size} as in the first vector", "Mend or remove the line.", row
        )
    try:
        vector = np.array(pieces[-size:], np.float32)
    except ValueError as error:
        raise DataError(
            path, f"what is no number ({error})", f"{size} numbers", "Mend or remove the line.", row
        ) from error
    if not np.isfinite(vector).all():
        raise DataError(path, "a number that is not finite", "finite numbers", "Mend or remove the line.", row)
    return vector
