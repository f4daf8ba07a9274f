"""Levels of windows: from what was observed alone, finite always."""

from __future__ import annotations

import pytest
import torch

from echoic.models.normalise import NORMALISERS, guess_normaliser, last_observed


def random_window():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(4, 9, 2, generator=generator) * 5 + 30
    return values, torch.rand(4, 9, 2, generator=generator) < 0.6


@pytest.mark.parametrize("name", NORMALISERS)
def test_levels_of_observed_values(name):
    values, observed = random_window()
    level = NORMALISERS[name](values, observed)
    for b in range(4):
        for c in range(2):
            seen = values[b, observed[b, :, c], c].double()
            pairs = [t for t in range(1, 9) if observed[b, t, c] and observed[b, t - 1, c]]
            steps = [abs(float(values[b, t, c] - values[b, t - 1, c])) for t in pairs]
            size, deviation = float(seen.abs().mean()), float(seen.std(unbiased=False))
            expected = {
                "last": (float(seen[-1]), 1.0),
                "last-size": (float(seen[-1]), size),
                "last-step": (float(seen[-1]), sum(steps) / max(1, len(steps)) + 1e-3 * size),
                "last-deviation": (float(seen[-1]), deviation + 1e-3 * size),
                "mean-deviation": (float(seen.mean()), deviation + 1e-3 * size),
                "size": (0.0, size),
            }[name]
            assert float(level.location[b, 0, c]) == pytest.approx(expected[0], rel=1e-4)
            assert float(level.scale[b, 0, c]) == pytest.approx(expected[1], rel=1e-3)


@pytest.mark.parametrize("name", NORMALISERS)
@pytest.mark.parametrize("value", [0.0, 7.0, -1e6])
def test_constant_and_empty_windows(name, value):
    values = torch.full((2, 5, 1), value)
    observed = torch.ones(2, 5, 1, dtype=torch.bool)
    observed[1] = False
    level = NORMALISERS[name](values, observed)
    assert torch.isfinite(level.location).all()
    assert (level.scale > 0).all()
    normalised = level.normalise(values)[0]
    assert torch.isfinite(normalised).all()
    torch.testing.assert_close(level.restore(level.normalise(values))[0], values[0])


def test_last_observed():
    values = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])[:, :, None]
    observed = torch.tensor([[1, 1, 0], [1, 0, 0], [0, 0, 0]])[:, :, None].bool()
    assert last_observed(values, observed)[:, 0, 0].tolist() == [2, 4, 0]


def test_guess():
    assert [guess_normaliser(1, 24), guess_normaliser(9, 1), guess_normaliser(9, 12)] == [
        "last",
        "last-step",
        "mean-deviation",
    ]
