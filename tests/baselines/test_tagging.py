"""The most frequent tag of each word."""

from __future__ import annotations

import pytest
from tests.shared_data import shared_data

from echoic.baselines.tagging import MostFrequentTag
from echoic.data.tagged_files import Asked, read_sentences
from echoic.metrics.tagging import tagging_metrics


def test_words_seen_and_not():
    baseline = MostFrequentTag([["a", "b", "a"], ["a", "c", "c"]], [["X", "Y", "X"], ["Z", "Y", "Y"]], ["p", "p", "q"])
    assert baseline.tags([["a", "b", "new", "c"]]) == [["X", "Y", "Y", "Y"]]
    assert baseline.intent == "p"
    assert MostFrequentTag([["a"]], [["X"]]).intent is None


@pytest.mark.parametrize(
    ("train", "test", "metric", "published"),
    [
        ("ud-english-ewt/en_ewt-ud-train", "ud-english-ewt/en_ewt-ud-test", "accuracy", 86.2),
        ("ud-chinese-gsdsimp/zh_gsdsimp-ud-dev", "ud-chinese-gsdsimp/zh_gsdsimp-ud-test", "accuracy", 74.2),
        ("wikigold/train", "wikigold/test", "f1", 26.4),
    ],
)
def test_published_figures(train, test, metric, published):
    """As the data sets' descriptions give them, in %."""
    ending = ".conllu.gz" if "ud-" in train else ".tsv.gz"
    first, second = (read_sentences(shared_data(f"tagging/{name}{ending}"), Asked()) for name in (train, test))
    assert first.tags is not None
    assert second.tags is not None
    said = MostFrequentTag(first.tokens, first.tags).tags(second.tokens)
    assert 100 * tagging_metrics(second.tags, said, metric == "f1")[metric] == pytest.approx(published, abs=0.1)
