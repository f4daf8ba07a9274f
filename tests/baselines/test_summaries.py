"""The first words of a text."""

import pytest

from echoic.baselines.summaries import lead, lead_baselines, typical_length


@pytest.mark.parametrize(
    ("text", "count", "expected"),
    [
        ("Dear Ann, the report is late.", 2, "Dear Ann"),
        ("Dear Ann, the report is late.", 3, "Dear Ann, the"),
        ("Dear Ann", 5, "Dear Ann"),
        ("北京今天下雨了。", 4, "北京今天"),
        ("", 3, ""),
    ],
)
def test_the_first_words(text, count, expected):
    assert lead(text, count) == expected


def test_as_long_as_a_summary_typically_is():
    training = ["one two three", "one", "one two three four five six seven"]
    assert typical_length(training) == 3
    found = lead_baselines(["a b c d e f g h", "x"], training)
    assert found == {"first_3_words": ["a b c", "x"], "first_6_words": ["a b c d e f", "x"]}
    assert typical_length([""]) == 1
