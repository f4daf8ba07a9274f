"""Metrics of taggers against seqeval and against counting."""

from __future__ import annotations

import numpy as np
import pytest
from seqeval import metrics as reference

from echoic.data.tag_schemes import spans
from echoic.metrics.tagging import span_scores, tagging_metrics

NAMES = ["O", "O", "O", "B-A", "I-A", "B-B", "I-B"]


def random_pair(seed: int) -> tuple[list[list[str]], list[list[str]]]:
    generator = np.random.default_rng(seed)
    truth = [generator.choice(NAMES, size=generator.integers(1, 12)).tolist() for _ in range(60)]
    said = [[t if generator.random() < 0.7 else str(generator.choice(NAMES)) for t in tags] for tags in truth]
    return truth, said


@pytest.mark.parametrize("seed", range(3))
def test_spans_are_scored_as_seqeval_does(seed):
    truth, said = random_pair(seed)
    found = tagging_metrics(truth, said, are_spans=True)
    assert found["f1"] == pytest.approx(reference.f1_score(truth, said))
    assert found["precision"] == pytest.approx(reference.precision_score(truth, said))
    assert found["recall"] == pytest.approx(reference.recall_score(truth, said))
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(truth, said))
    right = {(i, s) for i, tags in enumerate(truth) for s in spans(tags, "bio")}
    foretold = {(i, s) for i, tags in enumerate(said) for s in spans(tags, "bio")}
    assert found["f1"] == pytest.approx(2 * len(right & foretold) / (len(right) + len(foretold)))


def test_plain_tags():
    found = tagging_metrics([["X", "Y"], ["X"]], [["X", "X"], ["X"]], are_spans=False)
    assert found == {"accuracy": pytest.approx(2 / 3), "sentence_accuracy": 0.5}


def test_nothing_found_is_no_error():
    assert span_scores([["B-A", "O"]], [["O", "O"]]) == {"precision": 0, "recall": 0, "f1": 0}
    assert span_scores([["O", "O"]], [["O", "O"]])["f1"] == 0
