"""Formats are told apart; rows, NLTK's formats and data in memory."""

from __future__ import annotations

import nltk
import polars as pl
import pytest
from nltk.corpus.reader import ChunkedCorpusReader, TaggedCorpusReader

from echoic.data.tagged_files import FORMS, Asked, read_sentences
from echoic.errors import DataError
from echoic.notices import collected

ROWS = "Play\tplay some jazz\tO O B-genre\nAsk\twhat is it\tO O O\n\nPlay\tmusic\tO\n"
BROWN = "\n\n\tThe/at Fulton/np-tl and/or/cc County/nn-tl\n./. ``/`` 1/2/cd\n"
CHUNKED = "[ The/DT dog/NN ]\nbarks/VBZ at/IN\n[ the/DT 1/2/CD ] [ moon/NN ] ./.\n\n[ It/PRP ] stops/VBZ\n"


def written(path, content: str):
    path.write_text(content, encoding="utf-8")
    return path


def test_rows(tmp_path):
    path = written(tmp_path / "a.tsv", ROWS)
    with collected() as said:
        found = read_sentences(path, Asked(intent="1"))
    assert "tokens from column 2, tags from column 3" in said[0]
    assert found.tokens == [["play", "some", "jazz"], ["what", "is", "it"], ["music"]]
    assert found.tags == [["O", "O", "B-genre"], ["O", "O", "O"], ["O"]]
    assert found.intents == ["Play", "Ask", "Play"]
    assert found.rows[2] == [4]
    write = FORMS["rows"].write
    assert write is not None
    assert write(found, found.tags, found.intents) == ROWS
    words = read_sentences(written(tmp_path / "b.tsv", "\thello there\n"), Asked(), found.layout)
    assert words.tags is None
    assert write(words, [["O", "B-x"]], ["Greet"]) == "Greet\thello there\tO B-x\n"


@pytest.mark.parametrize(
    ("content", "row", "word"),
    [
        (ROWS + "Ask\tone two\tO\n", 5, "2 tokens and 1 tags"),
        (ROWS + "Ask\t\tO\n", 5, "no token"),
        (ROWS + "Ask\n", 5, "column 2"),
    ],
)
def test_faults_of_rows(tmp_path, content, row, word):
    layout = read_sentences(written(tmp_path / "good.tsv", ROWS), Asked(intent="1")).layout
    with pytest.raises(DataError, match=word) as caught:
        read_sentences(written(tmp_path / "a.tsv", content), Asked(), layout)
    assert caught.value.row == row


def test_brown_as_nltk_reads_it(tmp_path, monkeypatch):
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    path = written(tmp_path / "ca01", BROWN)
    found = read_sentences(path, Asked())
    assert found.layout.form == "slashes"
    expected = TaggedCorpusReader(str(tmp_path), ["ca01"]).tagged_sents()
    pairs = [list(zip(t, g, strict=True)) for t, g in zip(found.tokens, found.tags or [], strict=True)]
    assert [[(w, t.upper()) for w, t in sent] for sent in pairs] == [list(sent) for sent in expected]
    assert found.rows == [[3] * 4, [4] * 3]
    write = FORMS["slashes"].write
    assert write is not None
    assert write(found, found.tags or [], None) == BROWN
    untagged = read_sentences(written(tmp_path / "plain.txt", "one two\n"), Asked(), found.layout)
    assert untagged.tags is None
    assert write(untagged, [["A", "B"]], None) == "one/A two/B\n"
    with pytest.raises(DataError, match='"two"') as caught:
        read_sentences(written(tmp_path / "bad.txt", "one/A\none/B two\n"), Asked(form="slashes"))
    assert caught.value.row == 2


def test_chunks_as_nltk_reads_them(tmp_path, monkeypatch):
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    found = read_sentences(written(tmp_path / "wsj", CHUNKED), Asked())
    assert found.layout.form == "brackets"
    trees = ChunkedCorpusReader(str(tmp_path), ["wsj"], sent_tokenizer=nltk.tokenize.BlanklineTokenizer())
    expected = [nltk.chunk.tree2conlltags(tree) for tree in trees.chunked_sents()]
    pairs = [list(zip(t, g, strict=True)) for t, g in zip(found.tokens, found.tags or [], strict=True)]
    assert pairs == [[(word, chunk) for word, _, chunk in sentence] for sentence in expected]
    for content, row in (("[ a/A b/B\n\nc/C [ d/D ]\n", 1), ("a/A ] b/B [ c/C ]\n", 1), ("a/A\n[ b/B [ c/C ]\n", 2)):
        with pytest.raises(DataError, match="racket") as caught:
            read_sentences(written(tmp_path / "bad", content), Asked(form="brackets"))
        assert caught.value.row == row


def test_tables(tmp_path):
    frame = pl.DataFrame({"text": ["a b", "c"], "tags": ["O B-x", "O"], "kind": ["p", "q"], "other": [1, 2]})
    found = read_sentences(frame, Asked(intent="kind"))
    assert found.tokens == [["a", "b"], ["c"]]
    assert found.tags == [["O", "B-x"], ["O"]]
    assert found.intents == ["p", "q"]
    lists = frame.with_columns(pl.col("text").str.split(" "), pl.col("tags").str.split(" "))
    assert read_sentences(lists, Asked()).tokens == found.tokens
    frame.write_csv(tmp_path / "a.csv")
    assert read_sentences(tmp_path / "a.csv", Asked(tokens="text", tags="tags")).tags == found.tags
    frame.with_columns(tags=pl.Series(["O B-x", "O O"])).write_csv(tmp_path / "bad.csv")
    with pytest.raises(DataError, match="1 tokens and 2 tags") as caught:
        read_sentences(tmp_path / "bad.csv", Asked())
    assert caught.value.row == 3
    with pytest.raises(DataError, match="words"):
        read_sentences(frame, Asked(tokens="words"))
    with pytest.raises(DataError, match="2 tokens and 1 tags"):
        read_sentences(frame.with_columns(tags=pl.lit("O")), Asked())


def test_another_format_than_trained_on_is_recognised_by_its_name(tmp_path):
    universal = "1\tNo\tno\tINTJ\tUH\t_\t0\troot\t_\t_\n"
    first = read_sentences(written(tmp_path / "a.conllu", universal), Asked())
    plain = read_sentences(written(tmp_path / "b.txt", "Yes\nsir\n"), Asked(), first.layout)
    assert (plain.tokens, plain.tags) == ([["Yes", "sir"]], None)
    write = FORMS[plain.layout.form].write
    assert write is not None
    assert write(plain, [["INTJ", "NOUN"]], None) == "Yes INTJ\nsir NOUN\n"
    assert read_sentences(tmp_path / "a.conllu", Asked(), plain.layout).tokens == [["No"]]


def test_in_memory():
    found = read_sentences([(["a", "b"], ["X", "Y"], "p"), (["c"], ["X"], "q")], Asked())
    assert (found.tags, found.intents) == ([["X", "Y"], ["X"]], ["p", "q"])
    assert read_sentences([["a", "b"], ["c"]], Asked()).tags is None
    assert read_sentences(["It's here.", "我爱你"], Asked()).tokens == [["It's", "here", "."], ["我", "爱", "你"]]
    for wrong, word in (
        ([(["a"], [])], "1 tokens and 0 tags"),
        ([[]], "without tokens"),
        ([], "no sentence"),
        (3, "int"),
    ):
        with pytest.raises(DataError, match=word):
            read_sentences(wrong, Asked())


def test_what_is_no_file_of_sentences(tmp_path):
    for content, word in ((b"", "empty"), (b"a\xff\n", "0xFF"), (b"# only a comment\n", "no sentence|column")):
        (tmp_path / "a.conll").write_bytes(content)
        with pytest.raises(DataError, match=word):
            read_sentences(tmp_path / "a.conll", Asked())
