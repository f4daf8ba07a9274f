"""How well classes are foretold. C is the number of classes, N the number of examples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClassScores:
    """Scores of each class, [C].

    precision: of those said to be of the class, the share that is; 0 where none was said to be.
    recall: of those of the class, the share that was found; 0 where there is none.
    f1: their harmonic mean; 0 where the class is neither there nor foretold.
    count: examples of the class.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    count: np.ndarray


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts [C, C] with the true class as row and the predicted one as column."""
    return np.bincount(truth * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def class_scores(confusion: np.ndarray) -> ClassScores:
    """Precision, recall and F1 of each class from its confusion matrix."""
    right = np.diag(confusion).astype(float)
    said, there = confusion.sum(axis=0), confusion.sum(axis=1)
    return ClassScores(
        precision=_ratio(right, said),
        recall=_ratio(right, there),
        f1=_ratio(2 * right, said + there),
        count=there,
    )


def classification_metrics(truth: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Metrics of a part.

    Args:
        truth: class of each example, [N].
        probabilities: of each class, rows add up to one, [N, C].

    Returns accuracy (share), macro_f1 (mean of the F1 of the classes that are there or foretold) and loss (mean -ln p
    of the true class, nats).
    """
    predicted = probabilities.argmax(axis=1)
    scores = class_scores(confusion_matrix(truth, predicted, probabilities.shape[1]))
    concerned = (scores.count > 0) | np.isin(np.arange(probabilities.shape[1]), predicted)
    chosen = probabilities[np.arange(len(truth)), truth]
    return {
        "accuracy": float((predicted == truth).mean()),
        "macro_f1": float(scores.f1[concerned].mean()),
        "loss": float(-np.log(np.maximum(chosen, 1e-12)).mean()),
    }


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros(len(numerator)), where=denominator > 0)
