import pytest
from pydantic import ValidationError

from echoic.data.text_units import UnitOptions, choose_unit, fit_units
from echoic.data.vocabulary import SPECIAL, UNKNOWN
from echoic.data.words import WordVocabulary, mostly_unspaced, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It's good, don’t wait!", ["It's", "good", ",", "don’t", "wait", "!"]),
        ("re-made at 3.50 or 1,000:", ["re", "-", "made", "at", "3.50", "or", "1,000", ":"]),
        ("房间很大 and OK", ["房", "间", "很", "大", "and", "OK"]),
        ("Ünïcode наука ملف", ["Ünïcode", "наука", "ملف"]),
        ("wo n't  \t\n", ["wo", "n't"]),
        ("", []),
    ],
)
def test_words_of_any_script(text, words):
    assert split_words(text) == words


def test_vocabulary_of_the_training_texts():
    vocabulary = WordVocabulary.fit(["The cat saw the dog", "the end"], minimum=1)
    assert vocabulary.words[0] == "the"
    assert vocabulary.size == 5 + SPECIAL
    symbols = vocabulary.encode("THE dog barks")
    assert symbols[0] == SPECIAL
    assert symbols[2] == UNKNOWN
    assert vocabulary.decode(symbols) == "the dog"
    assert vocabulary.encode("").shape == (0,)
    assert WordVocabulary.fit(["a a a b b c"], minimum=2).words == ["a", "b"]
    assert WordVocabulary.fit(["a a a b b c"], size=SPECIAL + 1).words == ["a"]
    cased = WordVocabulary.fit(["The the"], lowercase=False)
    assert set(cased.words) == {"The", "the"}
    assert cased.encode("THE").tolist() == [UNKNOWN]


def test_a_vocabulary_survives_json_and_refuses_repeats():
    vocabulary = WordVocabulary.fit(["né à l'été", "房间"])
    again = WordVocabulary.model_validate_json(vocabulary.model_dump_json())
    assert (again.encode("été 间 né") == vocabulary.encode("été 间 né")).all()
    with pytest.raises(ValidationError):
        WordVocabulary(words=["a", "a"])


def test_the_unit_is_chosen_by_the_script():
    assert mostly_unspaced(["房间很大，感觉不错", "很好 wifi"])
    assert not mostly_unspaced(["a room of 3 beds", "good 好"])
    assert choose_unit(["房间很大"])[0] == "character"
    assert choose_unit(["ACGTTGA", "GATTACA"])[0] == "character"
    assert choose_unit(["a long way", "to go"])[0] == "word"


def test_units_are_fitted_and_said(caplog):
    assert fit_units("auto", ["好房间", "不好"], UnitOptions(), "x.csv").kind == "character"
    assert "characters" in caplog.text
    assert "--unit" in caplog.text
    assert fit_units("subword", ["low lower lowest"], UnitOptions(size=270), "x.csv").kind == "subword"
    words = fit_units("word", ["A b b"], UnitOptions(minimum=2, lowercase=False), "x.csv")
    assert words.size == SPECIAL + 1
