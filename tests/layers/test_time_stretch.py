"""Sequences stretched in time."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from echoic.errors import OptionError
from echoic.layers.time_stretch import TimeStretch

LENGTHS = torch.tensor([7, 1, 0, 63])


def rows() -> torch.Tensor:
    """[4, 63, 3], NaN past each row's length."""
    torch.manual_seed(0)
    inputs = torch.randn(4, 63, 3)
    inside = torch.arange(63) < LENGTHS.unsqueeze(1)
    return torch.where(inside.unsqueeze(2), inputs, torch.nan)


def test_each_row_is_the_line_through_its_own_steps() -> None:
    inputs = rows()
    for seed in range(20):
        torch.manual_seed(seed)
        outputs, lengths = TimeStretch(0.5)(inputs, LENGTHS)
        assert outputs.shape == (4, int(lengths.max()), 3)
        for row, (old, new) in enumerate(zip(LENGTHS.tolist(), lengths.tolist(), strict=True)):
            places = np.linspace(0, max(0, old - 1), new) if new > 1 else np.zeros(new)
            for feature in range(3 if old else 0):
                line = np.interp(places, np.arange(old), inputs[row, :old, feature].numpy())
                assert outputs[row, :new, feature].numpy() == pytest.approx(line, abs=1e-5)


def test_lengths_stay_within_the_bound_on_both_sides() -> None:
    torch.manual_seed(0)
    before = torch.full((2000,), 100)
    _, lengths = TimeStretch(0.25)(torch.zeros(2000, 100, 1), before)
    assert (int(lengths.min()), int(lengths.max())) == (80, 125)
    assert (lengths < 100).float().mean().item() == pytest.approx(0.5, abs=0.05)


def test_a_row_keeps_a_step_and_an_empty_row_stays_empty() -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        lengths = TimeStretch(9.0)(rows(), LENGTHS)[1]
        assert int(lengths[2]) == 0
        assert (lengths[[0, 1, 3]] >= 1).all()
    empty = torch.zeros(2, 0, 3)
    assert TimeStretch(0.5)(empty, torch.zeros(2, dtype=torch.int64))[0] is empty


def test_evaluation_changes_nothing() -> None:
    inputs = rows()
    for stretch in (TimeStretch(0.5).eval(), TimeStretch(0.0)):
        outputs, lengths = stretch(inputs, LENGTHS)
        assert outputs is inputs
        assert lengths is LENGTHS


@pytest.mark.parametrize("most", [-0.1, float("nan"), float("inf")])
def test_no_bound(most: float) -> None:
    with pytest.raises(OptionError, match="at least 0"):
        TimeStretch(most)
