"""Characters and subwords: every text comes back as it was, and only the training text counts."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from echoic.data.units import UNITS, AnyVocabulary
from echoic.data.vocabulary import UNKNOWN, CharacterVocabulary

TRAINING = ["床前明月光，疑是地上霜。", "the cat sat on the mat, the cat sat 🙂 naïve " * 5]
FITTED = {name: unit.fit(TRAINING, 300) for name, unit in UNITS.items()}


@pytest.mark.parametrize("vocabulary", FITTED.values(), ids=FITTED)
def test_a_text_comes_back(vocabulary):
    for text in TRAINING:
        symbols = vocabulary.encode(text)
        assert vocabulary.decode(symbols) == text
        assert symbols.min() >= 2
        assert symbols.max() < vocabulary.size
    assert vocabulary.encode("").tolist() == []
    assert vocabulary.decode([0, 1]) == ""


@pytest.mark.parametrize("vocabulary", FITTED.values(), ids=FITTED)
def test_saved_and_read(vocabulary):
    document = json.loads(json.dumps(vocabulary.model_dump(mode="json")))
    assert TypeAdapter(AnyVocabulary).validate_python(document) == vocabulary


@given(st.text(max_size=40))
def test_subwords_write_any_text(text):
    assert FITTED["subword"].decode(FITTED["subword"].encode(text)) == text.encode("utf-8", "replace").decode()


@given(st.text(max_size=40))
def test_pieces_are_whole_characters(text):
    """Symbol by symbol the text is the same, and no piece is a half character."""
    vocabulary = FITTED["subword"]
    pieces = vocabulary.pieces()
    parts = [pieces.push(int(symbol)) for symbol in vocabulary.encode(text)]
    assert "".join([*parts, pieces.finish()]) == vocabulary.decode(vocabulary.encode(text))
    assert "\ufffd" not in "".join(parts) or "\ufffd" in text


def test_a_character_cut_off_is_shown_as_such():
    vocabulary = FITTED["subword"]
    symbols = vocabulary.encode("龍")
    pieces = vocabulary.pieces()
    assert [pieces.push(int(s)) for s in symbols[:-1]] == [""] * (len(symbols) - 1)
    assert pieces.finish() == "\ufffd"


def test_names_of_special_symbols_are_text():
    assert 1 not in FITTED["subword"].encode("a <boundary> b")


def test_subwords_are_shorter_than_bytes():
    assert len(FITTED["subword"].encode(TRAINING[1])) < 0.6 * len(TRAINING[1])


def test_characters_are_counted_most_frequent_first():
    vocabulary = CharacterVocabulary.fit(["abcab", "a"])
    assert vocabulary.characters == "abc"
    assert vocabulary.counts == [3, 2, 1]
    assert vocabulary.encode("cxa").tolist() == [4, UNKNOWN, 2]
    assert vocabulary.unknown_in("cxay") == ["x", "y"]
    assert CharacterVocabulary.fit(["abcab"], size=4).characters == "ab"
    assert CharacterVocabulary.fit(["abcab"], minimum=2).characters == "ab"


def test_of_many_characters_the_rarest_teach_the_unknown():
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 1200))) + "".join(map(chr, range(0x4E00, 0x4E00 + 700)))
    vocabulary = CharacterVocabulary.fit([text])
    assert vocabulary.size == 702
    assert (vocabulary.encode(text) == UNKNOWN).sum() == 500


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("character", {"characters": "aa", "counts": [1, 1]}),
        ("character", {"counts": [1]}),
        ("character", {"kind": "word"}),
        ("subword", {"symbols": ["<unknown>", "<boundary>", "a"]}),
        ("subword", {"merges": [["zz", "yy"]]}),
        ("subword", {"symbols": [*FITTED["subword"].symbols, "漢"]}),
        ("subword", {"symbols": [*FITTED["subword"].symbols, "a"]}),
        ("subword", {"symbols": FITTED["subword"].symbols[2:]}),
    ],
)
def test_a_vocabulary_changed_by_hand_is_refused(kind, change):
    with pytest.raises(ValidationError):
        TypeAdapter(AnyVocabulary).validate_python(FITTED[kind].model_dump(mode="json") | change)
