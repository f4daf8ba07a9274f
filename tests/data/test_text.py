"""Text files of every kind: read, or refused with what is wrong and how to mend it."""

from __future__ import annotations

import gzip

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echoic.data import text as reading
from echoic.data.text import read_corpus, read_text
from echoic.errors import DataError
from echoic.notices import collected


@pytest.mark.parametrize("pack", [lambda b: b, gzip.compress])
def test_a_file_plain_or_packed(tmp_path, pack):
    path = tmp_path / "poems.txt"
    path.write_bytes(pack("床前明月光\nnaïve\n".encode()))
    assert read_corpus(path).documents == ["床前明月光\nnaïve\n"]
    assert not read_corpus(str(path)).separate


def test_line_ends_and_mark_are_removed_and_said(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n")
    with collected() as said:
        assert read_text(path) == "one\ntwo\nthree\n"
    assert len(said) == 2
    assert all(str(path) in text for text in said)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["empty"]),
        (b"  \n\n", ["empty"]),
        ("Grün\nist\nschön".encode("latin-1"), ["row 1", "offset 2", "0xFC", "iconv"]),
        ("one\ntwo\n床".encode("gb18030"), ["row 3", "GB18030"]),
        ("text".encode("utf-16"), ["UTF-16", "iconv"]),
        (b"one\ntwo\0three", ["row 2", "NUL", "binary"]),
        (gzip.compress(b"a text that was cut", mtime=0)[:-9], ["cannot be read"]),
    ],
)
def test_what_is_no_text_is_refused(tmp_path, content, words):
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_corpus(path)
    assert all(word in str(error.value) for word in [*words, "bad.txt"])


def test_a_file_that_unpacks_without_end(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MAXIMUM_BYTES", 10_000)
    path = tmp_path / "bomb.txt.gz"
    path.write_bytes(gzip.compress(b"a" * 10_001))
    with pytest.raises(DataError, match="10,000"):
        read_text(path)


def test_a_folder_is_read_in_the_order_of_names(tmp_path):
    (tmp_path / "b.txt").write_text("second")
    (tmp_path / "a.txt").write_text("first")
    (tmp_path / "c.csv").write_text("x,y")
    assert read_corpus(tmp_path).documents == ["first", "second"]
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match=r"no \.txt"):
        read_corpus(tmp_path / "bare")


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"none\.txt"):
        read_corpus(tmp_path / "none.txt")


def test_texts_in_memory():
    assert read_corpus("one line\nand another").documents == ["one line\nand another"]
    assert read_corpus(["a", "b"]).separate
    assert read_corpus("a\n\nb\n", lines=True).documents == ["a", "b"]
    with pytest.raises(DataError, match="dict"):
        read_corpus({"a": 1})


def test_a_column_of_a_table():
    table = pl.DataFrame({"id": [1, 2, 3], "name": ["x", "y", "z"], "poem": ["long long text", None, "another"]})
    with collected() as said:
        corpus = read_corpus(table)
    assert corpus.documents == ["long long text", "another"]
    assert corpus.separate
    assert any('"poem"' in text for text in said)
    assert any("1 empty" in text for text in said)
    assert read_corpus(table, column="name").documents == ["x", "y", "z"]
    with pytest.raises(DataError, match="poem"):
        read_corpus(table, column="poems")
    with pytest.raises(DataError, match="Int64"):
        read_corpus(table, column="id")
    with pytest.raises(DataError, match="no column of texts"):
        read_corpus(table.select("id"))


@given(st.binary(max_size=60))
def test_any_bytes_are_text_or_explained(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("fuzz") / "any.txt"
    path.write_bytes(content)
    try:
        corpus = read_corpus(path)
    except DataError:
        return
    expected = content.decode().removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    assert corpus.documents == [expected]
