import numpy as np
import pytest
from sklearn import metrics as reference

from echoic.metrics.classification import class_scores, classification_metrics, confusion_matrix


def test_metrics_are_those_of_scikit_learn():
    random = np.random.default_rng(3)
    truth = random.choice(5, size=211, p=[0.5, 0.2, 0.15, 0.1, 0.05])
    probabilities = random.dirichlet(np.full(5, 0.4), size=211)
    predicted = probabilities.argmax(axis=1)
    found = classification_metrics(truth, probabilities)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(truth, predicted))
    assert found["macro_f1"] == pytest.approx(reference.f1_score(truth, predicted, average="macro"))
    assert found["loss"] == pytest.approx(reference.log_loss(truth, probabilities))
    confusion = confusion_matrix(truth, predicted, 5)
    assert (confusion == reference.confusion_matrix(truth, predicted)).all()
    scores = class_scores(confusion)
    expected = reference.precision_recall_fscore_support(truth, predicted, zero_division=0)
    for ours, theirs in zip((scores.precision, scores.recall, scores.f1, scores.count), expected, strict=True):
        assert ours == pytest.approx(theirs)


def test_classes_that_are_neither_there_nor_foretold_do_not_count():
    """As in scikit-learn, whose F1 is over the labels that occur."""
    truth = np.array([0, 0, 2, 2, 2])
    probabilities = np.eye(4)[[0, 2, 2, 2, 0]]
    found = classification_metrics(truth, probabilities)
    assert found["macro_f1"] == pytest.approx(reference.f1_score(truth, [0, 2, 2, 2, 0], average="macro"))
    assert np.isfinite(found["loss"])
