"""Pairs from every source they may come in, and what is refused."""

import gzip

import polars as pl
import pytest

from echoic.data.pairs import PairColumns, read_pairs, target_beside
from echoic.errors import DataError, OptionError
from echoic.notices import collected

SOURCES, TARGETS = ["ein haus", "zwei, drei", 'ein "zitat"'], ["a house", "two, three", 'a "quote"']


def _write(path, text):
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_line_aligned_files(tmp_path, ending):
    source = _write(tmp_path / f"a.de{ending}", "\n".join(SOURCES) + "\n")
    target = _write(tmp_path / f"a.en{ending}", "\n".join(TARGETS))
    pairs, _ = read_pairs(source, target_file=target)
    assert (pairs.sources, pairs.targets, pairs.rows) == (SOURCES, TARGETS, [1, 2, 3])
    assert read_pairs(source)[0].targets == [None] * 3
    assert pairs.take([2, 0]).sources == [SOURCES[2], SOURCES[0]]


def test_lines_are_counted_as_they_stand(tmp_path):
    source, target = _write(tmp_path / "a.de", "a\n\nb\n"), _write(tmp_path / "a.en", "x\n\ny\n")
    pairs, _ = read_pairs(source, target_file=target)
    assert (pairs.sources, pairs.rows) == (["a", "", "b"], [1, 2, 3])


def test_files_that_do_not_align_are_refused(tmp_path):
    source, target = _write(tmp_path / "a.de", "a\nb\nc\n"), _write(tmp_path / "a.en", "x\ny\n")
    with pytest.raises(DataError, match="2 lines, expected 3"):
        read_pairs(source, target_file=target)
    with pytest.raises(DataError, match="no such file"):
        read_pairs(source, target_file=tmp_path / "b.en")
    with pytest.raises(DataError, match="a folder"):
        read_pairs(tmp_path)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_tables(tmp_path, kind):
    frame = pl.DataFrame({"id": [1, 2, 3], "english": TARGETS, "german": SOURCES})
    path = tmp_path / f"pairs.{kind}"
    write = {"csv": frame.write_csv, "jsonl": frame.write_ndjson, "parquet": frame.write_parquet}
    write.get(kind, lambda p: frame.write_csv(p, separator="\t"))(path)
    pairs, columns = read_pairs(path, PairColumns("german", "english"))
    assert (pairs.sources, pairs.targets) == (SOURCES, TARGETS)
    assert columns == PairColumns("german", "english")
    assert pairs.rows[0] == {"csv": 2, "tsv": 2, "jsonl": 1, "parquet": 1}[kind]
    assert pairs.table.columns == ["id", "english", "german"]


def test_columns_are_guessed_by_name_then_by_place():
    with collected() as said:
        by_name = read_pairs(pl.DataFrame({"target": ["x"], "n": ["7"], "source": ["a"]}))[0]
        by_place = read_pairs(pl.DataFrame({"n": ["7"], "one": ["a"], "two": ["x"]}))[0]
        half = read_pairs(pl.DataFrame({"one": ["a"], "two": ["x"]}), PairColumns(target="one"))[0]
    assert [(p.sources, p.targets) for p in (by_name, by_place, half)] == [
        (["a"], ["x"]),
        (["a"], ["x"]),
        (["x"], ["a"]),
    ]
    assert any('"source"' in text and "--target" in text for text in said)


def test_an_identifier_is_no_target():
    mails = pl.DataFrame({"id": ["m-1"], "body": ["a long letter"], "subject": ["gist"]})
    assert read_pairs(mails)[1] == PairColumns("body", "subject")
    assert read_pairs(mails.rename({"body": "letter", "subject": "gist"}))[1] == PairColumns("letter", "gist")
    assert read_pairs(mails.drop("subject"))[1] == PairColumns("body", None)


def test_pairs_without_a_line_of_names_keep_their_first_pair(tmp_path):
    train = _write(tmp_path / "train.tsv", "Hi.\t嗨。\nHi.\t你好。\nRun.\t你用跑的。\nYes\t是\n")
    pairs, columns = read_pairs(train)
    assert pairs.sources == ["Hi.", "Hi.", "Run.", "Yes"]
    later = read_pairs(_write(tmp_path / "later.tsv", "No\t不\n"), columns)[0]
    assert (later.sources, later.targets) == (["No"], ["不"])
    named = read_pairs(_write(tmp_path / "named.tsv", "column_1\tcolumn_2\nNo\t不\n"), columns)[0]
    assert named.sources == ["No"]


def test_a_table_without_the_target_is_read_for_predictions():
    pairs, _ = read_pairs(pl.DataFrame({"german": ["a", None]}), PairColumns("german", "english"))
    assert (pairs.sources, pairs.targets) == (["a", ""], [None, None])
    with pytest.raises(DataError, match="--target-file"):
        pairs.with_targets()


def test_lists_in_memory():
    assert read_pairs((SOURCES, TARGETS))[0].targets == TARGETS
    assert read_pairs(SOURCES)[0].sources == SOURCES
    with pytest.raises(DataError, match="2 targets"):
        read_pairs((SOURCES, TARGETS[:2]))
    with pytest.raises(DataError, match="a int"):
        read_pairs(["a", 3])
    with pytest.raises(DataError, match="no texts"):
        read_pairs([])


def test_a_column_that_is_not_there():
    with pytest.raises((DataError, OptionError), match='"deutsch"'):
        read_pairs(pl.DataFrame({"german": ["a"], "english": ["x"]}), PairColumns("deutsch", "english"))
    with pytest.raises(DataError, match="no text"):
        read_pairs(pl.DataFrame({"n": [1], "m": [2]}))


def test_the_targets_beside_a_file(tmp_path):
    for name in ("test.de.gz", "test.en.gz", "val.de", "val.en", "lone.de"):
        _write(tmp_path / name, "a\n")
    train = tmp_path / "train.en.gz"
    assert target_beside(tmp_path / "test.de.gz", train) == tmp_path / "test.en.gz"
    assert target_beside(tmp_path / "val.de", train) == tmp_path / "val.en"
    assert target_beside(tmp_path / "lone.de", train) is None
    assert target_beside(tmp_path / "test.en.gz", train) is None
