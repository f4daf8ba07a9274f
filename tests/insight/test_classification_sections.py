import numpy as np
import polars as pl

from echoic.data.examples import Examples
from echoic.insight.classification_plots import confusion_plot
from echoic.insight.classification_sections import Foretold, classification_sections


def foretold(items: list, features: list[str], classes: int = 3) -> Foretold:
    random = np.random.default_rng(1)
    count = len(items)
    examples = Examples(
        "x", items, ["?"] * count, list(range(2, count + 2)), pl.DataFrame({"case": range(count)}), features
    )
    names = [f"<class {i}>" for i in range(classes)]
    return Foretold(examples, random.integers(0, classes, count), random.dirichlet(np.ones(classes), count), names)


def test_mistakes_are_shown_surest_first():
    given = foretold([f"text {i} " + "long " * 100 for i in range(40)], [])
    confusion, mistakes = classification_sections(given)
    assert confusion.figures[0][1].startswith("<svg")
    assert len(confusion.tables[0][2]) == 3
    rows = mistakes.tables[0][2]
    predicted = given.probabilities.argmax(axis=1)
    wrong = [i for i in range(40) if predicted[i] != given.truth[i]]
    surest = max(wrong, key=lambda i: given.probabilities[i].max())
    assert rows[0][0] == str(surest + 2)
    assert rows[0][1] == given.names[given.truth[surest]]
    assert all(len(row[3]) <= 300 for row in rows)


def test_sequences_and_no_mistakes():
    given = foretold([np.ones((5, 2), np.float32)] * 6, ["a", "b"])
    assert "5 steps of 2" in classification_sections(given)[1].tables[0][2][0][3]
    right = Foretold(given.examples, given.probabilities.argmax(axis=1), given.probabilities, given.names)
    assert "no mistake" in classification_sections(right)[1].text[0]


def test_many_classes_are_drawn_without_names():
    svg = confusion_plot(np.eye(80, dtype=int), [f"name {i}" for i in range(80)])
    assert "name 3" not in svg
    assert "<script" not in svg
