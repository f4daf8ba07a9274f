"""ROUGE counted by hand, against rouge-score's own tokens, and of Chinese."""

import pytest
from rouge_score.rouge_scorer import RougeScorer

from echoic.metrics.summaries import rouge, words


def test_rouge_counted_by_hand():
    found = rouge(["the dog ate the big bone"], [["The big dog, ate!"]])
    assert found["rouge_1"] == pytest.approx(100 * 2 * (4 / 6 * 4 / 4) / (4 / 6 + 1))
    assert found["rouge_2"] == pytest.approx(100 * 2 * (2 / 5 * 2 / 3) / (2 / 5 + 2 / 3))
    assert found["rouge_l"] == pytest.approx(100 * 2 * (3 / 6 * 3 / 4) / (3 / 6 + 3 / 4))


def test_english_is_as_rouge_score_has_it():
    outputs = ["Re: Q3 forecast_v2 - it's due at 10:30", "nothing in common"]
    references = ["Forecast for Q3 is due (10:30)!", "an empty page"]
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    theirs = [scorer.score(reference, output) for output, reference in zip(outputs, references, strict=True)]
    ours = rouge(outputs, [[reference] for reference in references])
    for name, kind in (("rouge_1", "rouge1"), ("rouge_2", "rouge2"), ("rouge_l", "rougeL")):
        assert ours[name] == pytest.approx(50 * sum(scores[kind].fmeasure for scores in theirs))
    assert ours["rouge_1"] > 25


def test_chinese_by_characters_and_other_letters_as_words():
    assert words("北京2008年 Straße, naïve_x") == ["北", "京", "2008", "年", "straße", "naïve", "x"]
    assert rouge(["北京天气好"], [["北京天气坏"]])["rouge_1"] == pytest.approx(80)


def test_the_best_of_several_references_counts():
    outputs, first, second = ["meeting on monday", "budget"], "lunch", "monday meeting"
    several = rouge(outputs, [[first, second], ["budget"]])
    assert several == pytest.approx(rouge(outputs, [[second], ["budget"]]))
    assert several["rouge_1"] > rouge(outputs, [[first], ["budget"]])["rouge_1"]


def test_nothing_written():
    assert rouge([""], [["some words"]]) == {"rouge_1": 0, "rouge_2": 0, "rouge_l": 0}
    assert rouge([], [])["rouge_1"] == 0
    with pytest.raises(ValueError, match="without one"):
        rouge(["a"], [[]])
