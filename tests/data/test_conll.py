"""CoNLL columns and CoNLL-U: read, refused with the row, and written back but for the tags."""

from __future__ import annotations

import gzip

import pytest
from tests.shared_data import shared_data

from echoic.data.tagged_files import FORMS, Asked, read_sentences
from echoic.errors import DataError

UNIVERSAL = """# sent_id = 1
# text = We don't.
1\tWe\twe\tPRON\tPRP\t_\t2\tnsubj\t_\t_
2-3\tdon't\t_\t_\t_\t_\t_\t_\t_\t_
2\tdo\tdo\tAUX\tVBP\t_\t0\troot\t_\t_
3\tn't\tnot\tPART\tRB\t_\t2\tadvmod\t_\t_
3.1\tgo\tgo\tVERB\tVB\t_\t_\t_\t_\t_
4\t.\t.\tPUNCT\t.\t_\t2\tpunct\t_\t_

# sent_id = 2
1\tNo\tno\tINTJ\tUH\t_\t0\troot\t_\t_
"""


def written(path, content: str):
    path.write_text(content, encoding="utf-8")
    return path


def again(sentences, tags) -> str:
    write = FORMS[sentences.layout.form].write
    assert write is not None
    return write(sentences, tags, sentences.intents)


def test_universal(tmp_path):
    path = written(tmp_path / "a.conllu", UNIVERSAL)
    found = read_sentences(path, Asked())
    assert found.tokens == [["We", "do", "n't", "."], ["No"]]
    assert found.tags == [["PRON", "AUX", "PART", "PUNCT"], ["INTJ"]]
    assert found.rows == [[3, 5, 6, 8], [11]]
    assert again(found, found.tags) == UNIVERSAL
    changed = again(found, [["A", "B", "C", "D"], ["E"]])
    assert changed.splitlines()[4].split("\t")[3] == "B"
    assert read_sentences(written(tmp_path / "b.conllu", changed), Asked()).tags == [["A", "B", "C", "D"], ["E"]]
    assert read_sentences(path, Asked(tags="XPOS")).tags == [["PRP", "VBP", "RB", "."], ["UH"]]
    assert read_sentences(path, Asked(tokens="3", tags="5")).tokens[0] == ["we", "do", "not", "."]


@pytest.mark.parametrize(
    ("line", "replaced", "row", "words"),
    [
        (4, "2\tdo\tdo\tAUX", 5, ["4 columns", "10 columns"]),
        (4, "two\tdo\tdo\tAUX\tVBP\t_\t0\troot\t_\t_", 5, ['"two"', "a number"]),
        (7, "4\t\t.\tPUNCT\t.\t_\t2\tpunct\t_\t_", 8, ["empty token"]),
        (10, "1\tNo\tno\t \tUH\t_\t0\troot\t_\t_", 11, ["empty tag"]),
    ],
)
def test_universal_faults_have_their_row(tmp_path, line, replaced, row, words):
    lines = UNIVERSAL.split("\n")
    lines[line] = replaced
    with pytest.raises(DataError) as caught:
        read_sentences(written(tmp_path / "a.conllu", "\n".join(lines)), Asked())
    assert caught.value.row == row
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["a.conll", "a.txt", "a.conll.gz"])
def test_columns_at_blanks(tmp_path, name):
    content = "-DOCSTART- -X- O O\n\nEU NNP  I-NP B-ORG\n# NN I-NP O\n\n\n. . O O"
    path = tmp_path / name
    path.write_bytes(gzip.compress(content.encode()) if name.endswith("gz") else content.encode())
    found = read_sentences(path, Asked())
    assert found.tokens == [["EU", "#"], ["."]]
    assert found.tags == [["B-ORG", "O"], ["O"]]
    assert found.rows == [[3, 4], [7]]
    assert again(found, found.tags) == content
    assert "EU NNP  I-NP S-X\n" in again(found, [["S-X", "O"], ["O"]])
    assert read_sentences(path, Asked(tags="2")).tags == [["NNP", "NN"], ["."]]


def test_a_column_that_is_missing_is_added(tmp_path):
    fitted = read_sentences(written(tmp_path / "a.conll", "a x B-A\nb y O\n"), Asked()).layout
    bare = read_sentences(written(tmp_path / "b.conll", "c\n\nd\n"), Asked(), fitted)
    assert bare.tags is None
    assert again(bare, [["O"], ["B-A"]]) == "c _ O\n\nd _ B-A\n"
    tabbed = read_sentences(written(tmp_path / "t.conll", "a\tx\tB-A\nb\ty\tO\n"), Asked()).layout
    bare = read_sentences(written(tmp_path / "b.conll", "c\n\nd\n"), Asked(), tabbed)
    assert again(bare, [["O"], ["B-A"]]) == "c\t_\tO\n\nd\t_\tB-A\n"


def test_comments_are_told_from_tokens(tmp_path):
    content = "# a comment with words\na\tB-A\n#\tO\n\n#hash\tO\n"
    found = read_sentences(written(tmp_path / "a.tsv", content), Asked())
    assert found.tokens == [["a", "#"], ["#hash"]]
    assert again(found, found.tags) == content


@pytest.mark.parametrize(
    ("content", "asked", "row", "word"),
    [
        ("a\tO\nb\n\nc\tO\n", Asked(), 2, "1 columns"),
        ("a\tO\n\nb\tO\tx\n", Asked(), 3, "3 columns"),
        ("a\tO\n\tO\n", Asked(), 2, "empty token"),
        ("a\tO\nb\tO\n", Asked(tags="3"), None, "1 to 2"),
        ("a\tO\nb\tO\n", Asked(tags="ner"), None, "number"),
    ],
)
def test_faults_of_columns(tmp_path, content, asked, row, word):
    with pytest.raises(DataError) as caught:
        read_sentences(written(tmp_path / "a.tsv", content), asked)
    assert caught.value.row == row
    assert word in str(caught.value)


@pytest.mark.parametrize(
    ("name", "sentences", "tokens"),
    [
        ("ud-english-ewt/en_ewt-ud-dev.conllu.gz", 2001, 25147),
        ("weibo-ner/dev.tsv.gz", 270, 14509),
        ("wikigold/test.tsv.gz", 173, 4229),
        ("snips/test.tsv.gz", 700, None),
    ],
)
def test_real_files_there_and_back(name, sentences, tokens):
    """Counts are those of the data sets' own descriptions; what is read is written again without a change."""
    found = read_sentences(shared_data(f"tagging/{name}"), Asked())
    assert len(found) == sentences
    assert tokens is None or found.token_count == tokens
    assert again(found, found.tags).split("\n") == found.lines
