"""BLEU and chrF against a count by hand, and what sacrebleu says of itself."""

import math

import pytest

from echoic.metrics.translation import bleu_tokens, translation_scores


def test_bleu_counted_by_hand():
    """Clipped precisions of 1 to 4 words over both sentences; one word shorter than the references."""
    outputs = ["the cat sat on the red", "a b c"]
    references = [["the cat sat on the mat"], ["a b c d"]]
    found = translation_scores(outputs, references)
    precisions = (8 / 9, 6 / 7, 4 / 5, 2 / 3)
    expected = 100 * math.exp(1 - 10 / 9) * math.prod(precisions) ** 0.25
    assert found.metrics["bleu"] == pytest.approx(expected)
    assert "tok:13a" in found.signatures["bleu"]
    assert "case:mixed" in found.signatures["bleu"]
    assert "version:" in found.signatures["chrf"]


def test_case_counts_unless_it_is_not_to():
    outputs, references = ["One Two Three Four Five"], [["one two three four five"]]
    assert translation_scores(outputs, references).metrics["bleu"] < 1
    lower = translation_scores(outputs, references, lowercase=True)
    assert lower.metrics == pytest.approx({"bleu": 100, "chrf": 100})
    assert "case:lc" in lower.signatures["bleu"]


def test_any_of_several_references_will_do():
    outputs = ["this is one way to say it", "and here is another one"]
    references = [["nothing of the kind", outputs[0]], [outputs[1]]]
    assert translation_scores(outputs, references).metrics["bleu"] == pytest.approx(100)
    assert translation_scores(outputs, [r[:1] for r in references]).metrics["bleu"] < 90


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["a house", "3 dogs"], "13a"),
        (["我今天去学校。"], "zh"),
        (["わたしは学生です"], "char"),
        (["ein Häuschen"], "13a"),
    ],
)
def test_words_of_a_writing(texts, expected):
    assert bleu_tokens(texts) == expected


def test_chinese_is_compared_by_characters():
    found = translation_scores(["我今天去学校"], [["我今天去医院"]])
    assert 20 < found.metrics["bleu"] < 80
    assert "tok:zh" in found.signatures["bleu"]


def test_numbers_of_texts():
    with pytest.raises(ValueError, match="2 outputs"):
        translation_scores(["a", "b"], [["a"]])
    assert translation_scores([], []).metrics == {"bleu": 0, "chrf": 0}
