"""The sections of a translation's report."""

import xml.etree.ElementTree as ElementTree

import numpy as np

from echoic.insight.attention_plot import attention_plot
from echoic.insight.translation_sections import Looked, Translated, shown_numbers, translation_sections


def _translated(count=30):
    references = [f"the cat number {i} sat on the mat" for i in range(count)]
    outputs = [text[: len(text) - i] for i, text in enumerate(references)]
    return Translated(
        [f"katze {i}" for i in range(count)], outputs, references, list(range(2, count + 2)), {"bleu": "S"}
    )


def test_the_figure_is_drawn_as_the_weights_are():
    weights = np.array([[0.25, 0.75, 0.0], [0.0, 0.1, 0.9]])
    figure = ElementTree.fromstring(attention_plot(["<a>", "猫", " b&"], ["x", '"y"'], weights))
    squares = [e for e in figure if e.tag.endswith("rect") and e.get("fill-opacity")]
    assert [float(square.get("fill-opacity", 0)) for square in squares] == weights.ravel().tolist()
    titles = [square[0].text for square in squares]
    assert titles[1] == "x looks at 猫: 0.75"
    texts = [e.text for e in figure if e.tag.endswith("text")]
    assert texts == ["<a>", "猫", "b&", "x", '"y"']


def test_a_long_output_is_cut():
    figure = attention_plot(["a"] * 500, ["b"] * 500, np.full((500, 500), 0.002))
    assert figure.count("<rect") == 60 * 60 + 1


def test_rows_asked_for_are_shown_else_from_best_to_worst():
    translated = _translated()
    assert shown_numbers(translated, [5, 99, 2]) == [3, 0]
    chosen = shown_numbers(translated, [])
    assert chosen[:2] == [0, 1]
    assert chosen[-1] == 29
    assert len(chosen) == 12
    assert len(shown_numbers(_translated(3), [])) == 3


def test_the_sections_hold_texts_signature_and_figures():
    translated = _translated()
    looked = [Looked(2, ["katze", "0", "end"], ["the", "cat"], np.array([[0.2, 0.3, 0.5], [0.6, 0.2, 0.2]]))]
    examples, attention = translation_sections(translated, looked, [0, 29])
    assert "bleu: S" in examples.text
    rows = examples.tables[0][2]
    assert [row[0] for row in rows] == ["2", "31"]
    assert rows[0][2] == translated.outputs[0]
    assert float(rows[0][4]) > float(rows[1][4])
    assert attention.figures[0][0] == "row 2"
    assert len(translation_sections(translated, [], [0])) == 1
