"""Word vectors as text: with and without a header, packed, and everything that can be wrong with them."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from echoic.data import word_vectors
from echoic.data.word_vectors import read_word_vectors
from echoic.errors import DataError
from echoic.notices import collected

WORDS = ["the", "naïve", "北京", "new york", "#"]
TABLE = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
LINES = "".join(f"{word} {' '.join(map(repr, row.tolist()))}\n" for word, row in zip(WORDS, TABLE, strict=True))


@pytest.mark.parametrize("header", ["", "5 3\n"])
@pytest.mark.parametrize("name", ["glove.txt", "crawl.vec.gz"])
def test_words_and_values(tmp_path, header, name):
    path = tmp_path / name
    content = (header + LINES).encode()
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    words, table = read_word_vectors(path, 100)
    assert words == WORDS
    assert np.array_equal(table, TABLE)
    with collected() as said:
        words, table = read_word_vectors(path, 2)
    assert words == WORDS[:2]
    assert np.array_equal(table, TABLE[:2])
    assert "first 2 words" in said[0]


def test_blanks_at_the_ends_of_lines_and_repeats(tmp_path):
    (tmp_path / "v.vec").write_text("3 2\na 1 2 \nb 3 4 \na 5 6 \n")
    with collected() as said:
        words, table = read_word_vectors(tmp_path / "v.vec", 10)
    assert words == ["a", "b"]
    assert table.tolist() == [[1, 2], [3, 4]]
    assert "more than once" in said[0]


@pytest.mark.parametrize(
    ("content", "row", "word"),
    [
        (b"a 1 2\nb 1\n", 2, "1 numbers"),
        (b"a 1 2\nb 1 x\n", 2, "no number"),
        (b"a 1 2\nb 1 nan\n", 2, "not finite"),
        (b"a 1 2\nb 1 1e999\n", 2, "not finite"),
        (b"9 99999999\na 1 2\n", 1, "99,999,999"),
        (b"word\n", 1, "vectors of 0"),
        (b"a 1 2\n\xff\xfe 1 2\n", 2, "UTF-8"),
        (b"", None, "no vector"),
        (b"5 3\n", None, "no vector"),
        (b"a " + b"1" * 200_000, 1, "bytes"),
        (b"\x1f\x8b damaged", None, "cannot be read"),
    ],
)
def test_faults_are_named_with_their_row(tmp_path, content, row, word):
    path = tmp_path / "v.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=word) as caught:
        read_word_vectors(path, 1000)
    assert caught.value.row == row


def test_no_memory_is_taken_for_more_than_the_file_can_hold(tmp_path, monkeypatch):
    path = tmp_path / "v.txt"
    path.write_text(LINES)
    taken = []
    empty = np.empty
    monkeypatch.setattr(word_vectors.np, "empty", lambda shape, kind: taken.append(shape) or empty(shape, kind))
    read_word_vectors(path, 4_000_000)
    assert taken[0][0] * taken[0][1] <= len(LINES.encode())
    monkeypatch.setattr(word_vectors, "MAXIMUM_VALUES", 8)
    with pytest.raises(DataError, match="at most 8"):
        read_word_vectors(path, 5)


def test_no_such_file(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_word_vectors(tmp_path / "none.txt", 3)
