"""The n-gram model against the definition, counted naively."""

from __future__ import annotations

import gzip
from collections import Counter

import numpy as np
import pytest
from tests.shared_data import shared_data

from echoic.baselines.ngram import NGram
from echoic.data.vocabulary import CharacterVocabulary


def by_definition(training: list[int], context: list[int], symbol: int, size: int, order: int) -> float:
    """P_order of a symbol after a context, recursively."""
    if order == 0:
        return 1 / size
    shorter = by_definition(training, context[1:] if len(context) == order - 1 else context, symbol, size, order - 1)
    if len(context) < order - 1:
        return shorter
    follows = Counter(
        training[i + order - 1]
        for i in range(len(training) - order + 1)
        if training[i : i + order - 1] == context[len(context) - order + 1 :]
    )
    total, kinds = sum(follows.values()), len(follows)
    return (follows[symbol] + kinds * shorter) / (total + kinds) if total else shorter


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_as_defined(order):
    generator = np.random.default_rng(order)
    training, test = generator.integers(0, 4, 60), generator.integers(0, 5, 25)
    nats = NGram(training, 5, order).nats(test)
    for i, symbol in enumerate(test.tolist()):
        context = test[max(0, i - order + 1) : i].tolist()
        assert nats[i] == pytest.approx(-np.log(by_definition(training.tolist(), context, symbol, 5, order)), rel=1e-9)


def test_probabilities_sum_to_one():
    generator = np.random.default_rng(0)
    model = NGram(generator.integers(0, 6, 500), 7, 4)
    context = generator.integers(0, 6, 3)
    total = sum(np.exp(-model.nats(np.append(context, symbol), context=3))[0] for symbol in range(7))
    assert total == pytest.approx(1, abs=1e-12)


def test_a_text_shorter_than_the_order():
    assert np.isfinite(NGram(np.array([1, 2]), 3, 5).nats(np.array([1, 2, 0, 1]))).all()


def test_the_published_figure_of_tiny_shakespeare():
    """1.540 nats on the first 30,000 characters of the last tenth, as its README says."""
    with gzip.open(shared_data("language-model/tinyshakespeare/input.txt.gz"), "rt") as file:
        text = file.read()
    cut = int(len(text) * 0.9)
    vocabulary = CharacterVocabulary.fit([text[:cut]])
    symbols = vocabulary.encode(text)
    model = NGram(symbols[:cut], vocabulary.size, 5)
    assert model.nats(symbols[cut - 4 : cut + 30_000], context=4).mean() == pytest.approx(1.540, abs=0.001)
