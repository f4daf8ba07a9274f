"""What a report says of a classifier: how classes are confused, scores of each, the most confident mistakes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from echoic.data.examples import Examples
from echoic.insight.classification_plots import confusion_plot
from echoic.insight.report import Section
from echoic.metrics.classification import class_scores, confusion_matrix

MISTAKES = 12
CLASSES = 40  # rows of the table of classes
LONG = 300  # characters of a text that is shown


@dataclass(frozen=True)
class Foretold:
    """What was foretold of a part.

    truth: class of each example, [N].
    probabilities: [N, C].
    names: of the classes, C.
    """

    examples: Examples
    truth: np.ndarray
    probabilities: np.ndarray
    names: list[str]


def classification_sections(foretold: Foretold) -> list[Section]:
    """The sections of a report."""
    predicted = foretold.probabilities.argmax(axis=1)
    confusion = confusion_matrix(foretold.truth, predicted, len(foretold.names))
    return [_confusions(confusion, foretold.names), _mistakes(foretold, predicted)]


def _confusions(confusion: np.ndarray, names: list[str]) -> Section:
    scores = class_scores(confusion)
    order = np.argsort(-scores.count, kind="stable")[:CLASSES]
    rows = [
        [
            names[i],
            *(f"{100 * score[i]:.1f} %" for score in (scores.precision, scores.recall, scores.f1)),
            str(scores.count[i]),
        ]
        for i in order.tolist()
    ]
    text = [
        "Each row of the figure is a true class and shows what its examples were taken for; all would stand on the "
        "diagonal if none were confused.",
        "Precision: of the examples said to be of a class, the share that is. Recall: of the examples of a class, the "
        "share that was found. F1 is their harmonic mean.",
    ]
    header = ["class", "precision", "recall", "F1", "examples"]
    figure = ("Examples by true and foretold class", confusion_plot(confusion, names))
    caption = "Scores of each class" + (f" (the {CLASSES} largest)" if len(names) > CLASSES else "")
    return Section("How classes are confused", text, [(caption, header, rows)], [figure])


def _mistakes(foretold: Foretold, predicted: np.ndarray) -> Section:
    wrong = np.flatnonzero(predicted != foretold.truth)
    title = "The most confident mistakes"
    if not len(wrong):
        return Section(title, ["There was no mistake."])
    confidence = foretold.probabilities[wrong, predicted[wrong]]
    rows = [
        [
            str(foretold.examples.rows[i]),
            foretold.names[foretold.truth[i]],
            f"{foretold.names[predicted[i]]} ({100 * foretold.probabilities[i, predicted[i]]:.0f} %)",
            _shown(foretold.examples.items[i]),
        ]
        for i in wrong[np.argsort(-confidence, kind="stable")][:MISTAKES].tolist()
    ]
    text = f"{len(wrong):,} of {len(predicted):,} examples were taken for another class. Where the model was surest:"
    return Section(title, [text], [("", ["row", "true", "foretold", "example"], rows)])


def _shown(item: str | np.ndarray) -> str:
    if isinstance(item, str):
        return item if len(item) <= LONG else item[: LONG - 1] + "…"
    first = ", ".join(f"{value:.3g}" for value in item[:8].flat[:8])
    return f"{item.shape[0]} steps of {item.shape[1]}: {first}, …"
