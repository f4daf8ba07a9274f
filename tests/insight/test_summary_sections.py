"""Examples from best to worst, lengths, words of their own."""

import numpy as np
import pytest

from echoic.insight.summary_sections import Summarised, novel_share, shown_numbers, summary_sections
from echoic.insight.translation_sections import Looked


def summarised(count: int) -> Summarised:
    """Example i shares i words of the ten of its reference."""
    sources = [f"text {i} " + "word " * 200 for i in range(count)]
    references = [[" ".join(f"w{j}" for j in range(10)), f"another {i}"] for i in range(count)]
    outputs = [" ".join([f"w{j}" for j in range(min(i, 10))] + ["x"] * max(0, 10 - i)) for i in range(count)]
    return Summarised(sources, outputs, references, list(range(2, count + 2)))


def test_examples_are_shown_from_best_to_worst():
    written = summarised(30)
    examples, lengths = summary_sections(written, shown_numbers(written))
    rows = examples.tables[0][2]
    assert len(rows) == 15
    scores = [int(row[-1]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 100
    assert rows[-1][0] == "2"
    assert all(len(row[1]) <= 400 for row in rows)
    assert "w0 w1 w2 w3 w4 w5 w6 w7 w8 w9 | another 10" in [row[2] for row in rows]
    assert lengths.tables[0][2][0][1:4] == ["10", "10", "10"]


def test_few_examples_are_not_shown_twice():
    assert sorted(shown_numbers(summarised(3))) == [0, 1, 2]
    assert summary_sections(summarised(0), []) == []


def test_rows_can_be_asked_for():
    written = summarised(9)
    shown = shown_numbers(written, [4, 99, 2])
    assert shown == [2, 0]
    assert [row[0] for row in summary_sections(written, shown)[0].tables[0][2]] == ["4", "2"]


def test_of_a_long_text_what_was_looked_at_is_drawn():
    written = summarised(3)
    weights = np.random.default_rng(1).dirichlet(np.ones(200), 4)
    weights[1, [7, 150]] += 5
    looked = Looked(2, [f"<s{i}>" for i in range(200)], ["a", "b", "c", "d"], weights)
    figure = summary_sections(written, [0], [looked])[2].figures[0][1]
    assert figure.index("&lt;s7&gt;") < figure.index("&lt;s150&gt;")
    assert sum(f"&lt;s{i}&gt;" in figure for i in range(200)) == 40


def test_empty_and_repeating_summaries_are_counted():
    written = Summarised(["a b c"] * 3, ["", "a b c and a b c", "fine"], [["x"]] * 3, [1, 2, 3])
    text = " ".join(summary_sections(written, [0])[1].text)
    assert "1 of 3 summaries are empty" in text
    assert "1 of 3 summaries say three words" in text


def test_words_of_their_own():
    assert novel_share("The report is late.", "report delayed, late") == pytest.approx(1 / 3)
    assert novel_share("anything", "") == 0
