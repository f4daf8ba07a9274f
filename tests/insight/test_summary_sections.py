"""Examples from best to worst, lengths, words of their own."""

import pytest

from echoic.insight.summary_sections import Summarised, novel_share, summary_sections


def summarised(count: int) -> Summarised:
    """Example i shares i words of the ten of its reference."""
    sources = [f"text {i} " + "word " * 200 for i in range(count)]
    references = [[" ".join(f"w{j}" for j in range(10)), f"another {i}"] for i in range(count)]
    outputs = [" ".join([f"w{j}" for j in range(min(i, 10))] + ["x"] * max(0, 10 - i)) for i in range(count)]
    return Summarised(sources, outputs, references, list(range(2, count + 2)))


def test_examples_are_shown_from_best_to_worst():
    examples, lengths = summary_sections(summarised(30))
    rows = examples.tables[0][2]
    assert [row[0].split(",")[0] for row in rows] == ["best"] * 5 + ["middling"] * 5 + ["worst"] * 5
    scores = [int(row[-1]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 100
    assert rows[-1][0] == "worst, row 2"
    assert all(len(row[1]) <= 400 for row in rows)
    assert "w0 w1 w2 w3 w4 w5 w6 w7 w8 w9 | another 10" in [row[2] for row in rows]
    assert lengths.tables[0][2][0][1:4] == ["10", "10", "10"]


def test_few_examples_are_not_shown_twice():
    rows = summary_sections(summarised(3))[0].tables[0][2]
    assert len(rows) == 3
    assert summary_sections(summarised(0)) == []


def test_empty_and_repeating_summaries_are_counted():
    written = Summarised(["a b c"] * 3, ["", "a b c and a b c", "fine"], [["x"]] * 3, [1, 2, 3])
    text = " ".join(summary_sections(written)[1].text)
    assert "1 of 3 summaries are empty" in text
    assert "1 of 3 summaries say three words" in text


def test_words_of_their_own():
    assert novel_share("The report is late.", "report delayed, late") == pytest.approx(1 / 3)
    assert novel_share("anything", "") == 0
