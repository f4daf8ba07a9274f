"""The cross-entropy that works on a few rows at a time, against torch's own on all scores."""

import pytest
import torch
from torch.nn import functional

from echoic.layers import linear_cross_entropy
from echoic.layers.linear_cross_entropy import LinearScores, cross_entropy


def _parts(rows, size, symbols, dtype=torch.float64):
    generator = torch.Generator().manual_seed(rows + symbols)
    shapes = [(rows, size), (symbols, size), (symbols,)]
    tensors = [torch.randn(s, generator=generator, dtype=dtype).requires_grad_() for s in shapes]
    return LinearScores(*tensors), torch.randint(symbols, (rows,), generator=generator)


@pytest.mark.parametrize("smoothing", [0.0, 0.17])
@pytest.mark.parametrize(("rows", "cache"), [(1, 2**20), (7, 2**20), (53, 37), (48, 37), (33, 37 * 20)])
def test_loss_and_gradients_are_those_of_torch(rows, cache, smoothing, monkeypatch):
    monkeypatch.setattr(linear_cross_entropy, "IN_CACHE", cache)  # so that few rows make several parts
    scores, targets = _parts(rows, 5, 37)
    found = cross_entropy(scores, targets, smoothing)
    gradients = torch.autograd.grad(3.7 * found, list(scores))
    expected = functional.cross_entropy(functional.linear(*scores), targets, label_smoothing=smoothing)
    torch.testing.assert_close(found, expected)
    for ours, theirs in zip(gradients, torch.autograd.grad(3.7 * expected, list(scores)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_large_scores_do_not_overflow():
    scores, targets = _parts(9, 5, 37, torch.float32)
    scores = LinearScores(scores.features.detach() * 1e4, scores.weight, scores.bias)
    found = cross_entropy(scores, targets, 0.1)
    expected = functional.cross_entropy(scores.computed(), targets, label_smoothing=0.1)
    torch.testing.assert_close(found, expected)
    assert torch.isfinite(torch.autograd.grad(found, scores.weight)[0]).all()


def test_without_gradients_and_under_autocast():
    scores, targets = _parts(9, 5, 37, torch.float32)
    expected = functional.cross_entropy(scores.computed(), targets)
    with torch.no_grad():
        torch.testing.assert_close(cross_entropy(scores, targets), expected)
    with torch.autocast("cpu", torch.bfloat16):
        found = cross_entropy(scores, targets)
    torch.testing.assert_close(found.float(), expected, rtol=0.05, atol=0.05)
    found.backward()
    assert scores.weight.grad is not None


def test_no_target_at_all_is_no_crash():
    scores, targets = _parts(0, 5, 37)
    assert cross_entropy(scores, targets).shape == ()
