"""Bits, nats and perplexity of known distributions."""

from __future__ import annotations

import math

import pytest

from echoic.metrics.language import language_metrics


def test_a_uniform_model():
    metrics = language_metrics(100 * math.log(8), 100, 100)
    assert metrics["bits_per_character"] == pytest.approx(3)
    assert metrics["nats_per_character"] == pytest.approx(math.log(8))
    assert metrics["perplexity"] == pytest.approx(8)


def test_subwords_are_counted_by_their_characters():
    metrics = language_metrics(50 * math.log(16), 50, 200)
    assert metrics["bits_per_character"] == pytest.approx(1)
    assert metrics["perplexity"] == pytest.approx(16)


def test_a_model_that_is_certain_and_wrong():
    assert language_metrics(1e6, 1, 1)["perplexity"] == math.inf
