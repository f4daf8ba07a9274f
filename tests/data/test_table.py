"""Every fault of a table is named by row and column, and nothing is half decoded."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.shared_data import shared_data

from echoic.data.table import open_table, read_table
from echoic.errors import DataError
from echoic.notices import collected

ROWS = b"".join(b"2024-01-%02d,%d\n" % (day, day * 3) for day in range(1, 20))
TABLE = b"date,units\n" + ROWS  # 20 lines: the next is row 21


def written(folder: Path, content: bytes, name: str = "sales.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def refused(folder: Path, content: bytes, name: str = "sales.csv", column: str | None = None) -> DataError:
    """The error of reading a file, or of reading the numbers of one of its columns."""
    path = written(folder, content, name)
    with pytest.raises(DataError) as caught:
        open_table(path).numbers(column or "units")
    return caught.value


@pytest.mark.parametrize(
    ("content", "found", "row", "column"),
    [
        (b"", "an empty file", None, None),
        (b" \n\n", "an empty file", None, None),
        (b"date,units\n", "a header line only", None, None),
        (b"date,units\n,\n,\n", "rows without any value", None, None),
        (b"date,date\n1,2\n", 'the name "date" for columns 1 and 2', 1, None),
        (b"date,\n1,2\n", "no name for column 2 of 2", 1, None),
        (TABLE + b"2024-01-20\n", "1 field", 21, None),
        (TABLE + b"2024-01-20,1,2\n2024-01-21,1\n", "3 fields", 21, None),
        (TABLE + b'2024-01-20,"5\n2024-01-21,6\n', "never closed", 21, None),
        (TABLE + b'2024-01-20,"5" or 6\n', "after a quotation mark", 21, None),
        (TABLE + b"2024-01-20,n/a\n2024-01-21,x\n", '"n/a"', 21, "units"),
        (TABLE + b"2024-01-20,\n\n2024-01-22,x\n", '"x"', 23, "units"),
        (TABLE + b'"two\nlines",4\n"2024",x\n', '"x"', 23, "units"),
        (TABLE + b"2024-01-20,inf\n", "an infinite value", 21, "units"),
        (TABLE + b"2024-01-20,-1e39\n", "-1e+39", 21, "units"),
        (b"date,units\n2024-01-01,\n2024-01-02,\n", "no value at all", None, "units"),
        (b"date,units\n2024-01-01,nan\n2024-01-02,NaN\n", "no value at all", None, "units"),
        (TABLE + b"2024-01-20,caf\xe9\n", "byte 0xE9 in line 21", None, None),
        (TABLE + b"\xe4\xb8", "byte 0xE4 in line 21", None, None),
        (TABLE + b"2024-01-20,\0\n", "a zero byte in line 21", None, None),
        ("date,units\n".encode("utf-16"), "UTF-16", None, None),
        (b"PK\x03\x04" + bytes(50), "a zip archive or spreadsheet", None, None),
        (b"PAR1" + bytes(50), "a damaged Parquet file", None, None),
        (gzip.compress(TABLE, mtime=0)[:-12], "a damaged gzip file", None, None),
    ],
)
def test_faults_are_named(tmp_path: Path, content: bytes, found: str, row: int | None, column: str | None):
    error = refused(tmp_path, content)
    assert found in error.found
    assert (error.row, error.column) == (row, column)
    assert str(tmp_path / "sales.csv") in str(error)
    assert error.remedy.endswith((".", ")", "csv")) or "--missing" in error.remedy


def test_missing_and_folders(tmp_path: Path):
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(DataError, match="a folder"):
        read_table(tmp_path)
    with pytest.raises(DataError, match="the type int"):
        read_table(5)
    with pytest.raises(DataError, match="without rows"):
        read_table(pl.DataFrame({"a": []}))


@pytest.mark.parametrize(("packed", "size"), [(False, 17), (True, 200)])
def test_an_endless_line_is_refused_before_it_is_read(tmp_path: Path, packed: bool, size: int):
    """200 MB without a line break, 200 KB on disk where packed: refused at 16 MiB of it."""
    path = tmp_path / "line.csv"
    with gzip.open(path, "wb", 1) if packed else path.open("wb") as file:
        file.write(b"a,b\n")
        for _ in range(size):
            file.write(b"x" * 1_000_000)
    with pytest.raises(DataError, match="line 2 longer than 16 MiB"):
        read_table(path)


def test_numbers_of_all_spellings(tmp_path: Path):
    path = written(tmp_path, b"a,b,c\n 1.5,+2,n/a\n1e3,-0.25,7\n,nan,-\n")
    table = open_table(path, missing=("n/a", "-"))
    assert table.numbers("a").to_list() == [1.5, 1000, None]
    assert table.numbers("b").to_list() == [2, -0.25, None]
    assert table.numbers("c").to_list() == [None, 7, None]


def test_separators(tmp_path: Path):
    for name, content in (
        ("a.csv", b"x;y\n1,5;2\n2,5;3\n"),
        ("a.tsv", b"x\ty\n1.5\t2\n2.5\t3\n"),
        ("a.csv", b"x|y\n1.5|2\n2.5|3\n"),
        ("a.csv", b"x\ty\n1.5\t2\n2.5\t3\n"),
        ("a.csv", b"\xef\xbb\xbfx,y\r\n1.5,2\r\n2.5,3\r\n"),
        ("a.csv", b"x,y\r1.5,2\r2.5,3\r"),
    ):
        table = open_table(written(tmp_path, content, name))
        assert table.frame.columns == ["x", "y"]
        assert table.numbers("x").to_list() == [1.5, 2.5]


def test_quoted_text_keeps_separators_and_lines(tmp_path: Path):
    frame = read_table(written(tmp_path, b'text,label\n"a, ""b""\nc",1\nd,2\n"\n",3\n'))
    assert frame.rows() == [('a, "b"\nc', 1), ("d", 2), ("\n", 3)]


def test_stray_quotes_in_tab_separated_text(tmp_path: Path):
    """Sentences of a TSV may hold any quotation marks; a TSV that quotes all its fields is read as quoted."""
    stray = read_table(written(tmp_path, b'text\tlabel\n"so she said\t1\nshe "said" so\t0\n"a" b\t0\n', "a.tsv"))
    assert stray["text"].to_list() == ['"so she said', 'she "said" so', '"a" b']
    quoted = read_table(written(tmp_path, b'text\tlabel\n"a\tb"\t1\n"say ""c"""\t0\n', "a.tsv"))
    assert quoted["text"].to_list() == ["a\tb", 'say "c"']


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"a fine film\t1\na bad film\t0\nno\t0\n", ["column_1", "column_2"]),
        (b"0.5,1.5\n0.4,1.6\n0.45,1.4\n", ["column_1", "column_2"]),
        (b"2024-01-01,5\n2024-01-02,6\n2024-01-03,7\n", ["column_1", "column_2"]),
        (b"773869,767541\n64.4,67.6\n62.7,68.5\n64,64.2\n", ["773869", "767541"]),
        (b"text,label\ngood,1\nbad,0\n", ["text", "label"]),
        (b"text,label\ngood,pos\nbad,neg\n", ["text", "label"]),
        (b"id,2019,2020\na,5,7\nb,6,8\nc,3,4\n", ["id", "2019", "2020"]),
        (b"Khoury\tArabic\nNahas\tArabic\nAbel\tIrish\n", ["column_1", "column_2"]),
        (b"I see.\tJe vois.\nGo!\tVa !\nNo.\tNon.\n", ["column_1", "column_2"]),
        (b"What is it?,Who?\na cat,me\na dog,you\n", ["What is it?", "Who?"]),
        (b"sentence,label\nA fine film.,good\nA bad film.,bad\n", ["sentence", "label"]),
    ],
)
def test_whether_there_is_a_header(tmp_path: Path, content: bytes, names: list[str]):
    path = written(tmp_path, content, "a.tsv" if b"\t" in content else "a.csv")
    with collected() as notices:
        frame = read_table(path)
    assert frame.columns == names
    assert frame.height == content.count(b"\n") - (names[0] != "column_1")
    assert bool(notices) == (names[0] == "column_1")
    assert read_table(path, header=False).height == content.count(b"\n")
    assert read_table(path, header=True).height == content.count(b"\n") - 1


def test_codes_stay_text(tmp_path: Path):
    frame = read_table(written(tmp_path, b"code,n,mixed\n007,7,1\n012,-8,x\n"))
    assert frame["code"].to_list() == ["007", "012"]
    assert frame["n"].to_list() == [7, -8]
    assert frame["mixed"].to_list() == ["1", "x"]


def test_json_lines(tmp_path: Path):
    records = [{"text": "a\nb", "label": 1}, {"label": None, "extra": True}, {"text": "é", "label": 2.5}]
    content = "\n".join(json.dumps(record) for record in records).replace("\n", "\n\n", 1).encode()
    table = open_table(written(tmp_path, content, "a.jsonl"))
    assert table.frame["text"].to_list() == ["a\nb", None, "é"]
    assert table.frame["label"].to_list() == [1, None, 2.5]
    assert table.frame["extra"].to_list() == [None, True, None]
    assert [table.row(i) for i in range(3)] == [1, 3, 4]


@pytest.mark.parametrize(
    ("line", "found", "column"),
    [
        (b"{", "no JSON", None),
        (b"[1]", "a list", None),
        (b'{"a": {}}', "a nested object", "a"),
        (b"[" * 99999, "no JSON", None),
    ],
)
def test_faults_of_json_lines(tmp_path: Path, line: bytes, found: str, column: str | None):
    with pytest.raises(DataError) as caught:
        read_table(written(tmp_path, b'{"a": 1}\n' + line + b"\n", "a.jsonl"))
    assert found in caught.value.found
    assert (caught.value.row, caught.value.column) == (2, column)


def test_same_from_every_format(tmp_path: Path):
    """Text, packed text, JSON lines, Parquet and a frame in memory give the same numbers and texts."""
    random = np.random.default_rng(3)
    frame = pl.DataFrame({"name": ["é", "b", "c c", "d,"], "x": random.normal(size=4), "n": random.integers(-9, 9, 4)})
    frame.write_csv(tmp_path / "a.csv")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    frame.write_csv(tmp_path / "a.tsv", separator="\t")
    frame.write_ndjson(tmp_path / "a.jsonl")
    frame.write_parquet(tmp_path / "a.parquet")
    for name in ("a.csv", "a.csv.gz", "a.tsv", "a.jsonl", "a.parquet"):
        assert read_table(tmp_path / name).equals(frame), name
    assert read_table(frame).equals(frame)


def test_wrong_types_of_other_formats(tmp_path: Path):
    table = open_table(pl.DataFrame({"list": [[1], [2]], "x": [1.0, float("inf")], "t": ["a", "b"]}))
    for column, found in (("list", "List"), ("x", "an infinite value"), ("t", '"a"')):
        with pytest.raises(DataError) as caught:
            table.numbers(column)
        assert found in caught.value.found
    with pytest.raises(DataError, match="List"):
        table.texts("list")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("sentiment/sst2/train.tsv.gz", (6920, 2)),
        ("sentiment/chnsenticorp-hotel/dev.tsv.gz", None),
        ("forecasting/los-loop/los_speed.csv.gz", (2016, 207)),
    ],
)
def test_real_tables(name: str, shape: tuple[int, int] | None):
    path = shared_data(name)
    frame = read_table(path)
    lines = gzip.decompress(path.read_bytes()).decode().strip("\n").split("\n")
    assert frame.shape == (shape or (len(lines), 2))
    if "sst2" in name:
        assert frame.rows() == [(text, int(label)) for text, label in (line.split("\t") for line in lines)]
