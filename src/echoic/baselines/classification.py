"""Simple classifiers that stand beside a trained one, built from training items; they give probabilities [N, C]."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from echoic.data.words import mostly_unspaced, split_words

MOST_ROWS = 10_000  # of the training part, for the baselines on numbers
MOST_STEPS = 256  # to which sequences are resampled
MOST_VALUES = 50_000_000  # of a table of resampled sequences


class Baseline(Protocol):
    """A fitted baseline."""

    def probabilities(self, items: Sequence[Any]) -> np.ndarray:
        """Probabilities of each class, [N, C]."""
        ...


class Majority:
    """Always the most frequent class, with the share of each class as its probability.

    Args:
        labels: classes of the training part, [N].
        classes: C.
    """

    def __init__(self, labels: np.ndarray, classes: int) -> None:
        self.shares = np.bincount(labels, minlength=classes) / len(labels)

    def probabilities(self, items: Sequence[Any]) -> np.ndarray:
        return np.tile(self.shares, (len(items), 1))


class BagOfWordsLogistic:
    """Logistic regression on weighted counts (tf-idf) of words and pairs of words.

    Where the script writes no spaces, or a text is one long word, runs of 1 to 3 characters take the place of words.

    Args:
        texts: training texts.
        labels: their classes, [N].
        classes: C.
    """

    def __init__(self, texts: Sequence[str], labels: np.ndarray, classes: int) -> None:
        single: dict[str, Any] = {"dtype": np.float32}  # half the memory of the default
        options: dict[str, Any] = {"tokenizer": split_words, "token_pattern": None, "ngram_range": (1, 2)}
        if mostly_unspaced(texts) or np.mean([len(split_words(text)) for text in texts[:1000]]) < 2:
            options = {"analyzer": "char", "ngram_range": (1, 3)}
        self.counts = TfidfVectorizer(sublinear_tf=True, **options, **single)
        self.model, self.classes = _logistic(self.counts.fit_transform(texts), labels, strength=10.0), classes

    def probabilities(self, items: Sequence[str]) -> np.ndarray:
        return _spread(self.model, self.counts.transform(items), self.classes)


class OneHotLogistic:
    """Logistic regression on which character stands at which place, for texts that are all of one length (DNA).

    Args:
        texts: training texts.
        labels: their classes, [N].
        classes: C.
    """

    def __init__(self, texts: Sequence[str], labels: np.ndarray, classes: int) -> None:
        self.length = len(texts[0])
        self.known = sorted(set("".join(texts)))
        self.model, self.classes = _logistic(self._table(texts), labels), classes

    def probabilities(self, items: Sequence[str]) -> np.ndarray:
        return _spread(self.model, self._table(items), self.classes)

    def _table(self, texts: Sequence[str]) -> np.ndarray:
        padded = np.array([list(text[: self.length].ljust(self.length, "\0")) for text in texts])
        return (padded[:, :, None] == np.array(self.known)).reshape(len(texts), -1).astype(np.float32)


class NearestNeighbour:
    """The class of the training sequence that is nearest after both were resampled to one length.

    Args:
        sequences: training sequences, [T, F] each.
        labels: their classes, [N].
        classes: C.
    """

    def __init__(self, sequences: Sequence[np.ndarray], labels: np.ndarray, classes: int) -> None:
        self.steps, self.classes = _common_steps(sequences), classes
        self.model = KNeighborsClassifier(1, algorithm="brute").fit(resampled(sequences, self.steps), labels)

    def probabilities(self, items: Sequence[np.ndarray]) -> np.ndarray:
        return _spread(self.model, resampled(items, self.steps), self.classes)


class ResampledLogistic:
    """Logistic regression on all values of sequences resampled to one length.

    Args:
        sequences: training sequences, [T, F] each.
        labels: their classes, [N].
        classes: C.
    """

    def __init__(self, sequences: Sequence[np.ndarray], labels: np.ndarray, classes: int) -> None:
        self.steps, self.classes = _common_steps(sequences), classes
        self.model = _logistic(resampled(sequences, self.steps), labels)

    def probabilities(self, items: Sequence[np.ndarray]) -> np.ndarray:
        return _spread(self.model, resampled(items, self.steps), self.classes)


def text_baselines(texts: Sequence[str], labels: np.ndarray, classes: int) -> dict[str, Baseline]:
    """The baselines for texts, fitted."""
    found: dict[str, Baseline] = {"majority": Majority(labels, classes)}
    found["bag_of_words_logistic"] = BagOfWordsLogistic(texts, labels, classes)
    if len({len(text) for text in texts}) == 1 and len(texts[0]) <= 1000 and " " not in texts[0]:
        found["one_hot_logistic"] = OneHotLogistic(texts, labels, classes)
    return found


def number_baselines(sequences: Sequence[np.ndarray], labels: np.ndarray, classes: int) -> dict[str, Baseline]:
    """The baselines for sequences of numbers, fitted on a choice of 10,000 where there are more."""
    found: dict[str, Baseline] = {"majority": Majority(labels, classes)}
    if len(labels) > MOST_ROWS:
        chosen = np.random.default_rng(0).permutation(len(labels))[:MOST_ROWS]
        sequences, labels = [sequences[i] for i in chosen], labels[chosen]
    found["nearest_neighbour"] = NearestNeighbour(sequences, labels, classes)
    found["resampled_logistic"] = ResampledLogistic(sequences, labels, classes)
    return found


def resampled(sequences: Sequence[np.ndarray], steps: int) -> np.ndarray:
    """All sequences at ``steps`` places between their ends, by straight lines, [N, steps * F]; an empty one: zeros."""
    features = sequences[0].shape[1]
    table = np.zeros((len(sequences), steps, features), np.float32)
    for row, values in enumerate(sequences):
        if len(values):
            places = np.linspace(0, len(values) - 1, steps)
            below = np.floor(places).astype(int)
            above, share = np.minimum(below + 1, len(values) - 1), (places - below)[:, None]
            table[row] = values[below] * (1 - share) + values[above] * share
    return table.reshape(len(sequences), -1)


def _common_steps(sequences: Sequence[np.ndarray]) -> int:
    longest = max(len(values) for values in sequences)
    room = MOST_VALUES // max(1, len(sequences) * sequences[0].shape[1])
    return max(1, min(longest, MOST_STEPS, room))


def _logistic(table: Any, labels: np.ndarray, strength: float = 1.0) -> LogisticRegression:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # close enough for a baseline
        return LogisticRegression(C=strength, max_iter=300).fit(table, labels)


def _spread(model: Any, table: Any, classes: int) -> np.ndarray:
    """Probabilities over all classes from a model that may not have seen every one."""
    probabilities = np.zeros((table.shape[0], classes))
    probabilities[:, model.classes_] = model.predict_proba(table)
    return probabilities
