"""Locked dropout."""

from __future__ import annotations

import pytest
import torch

from echoic.errors import OptionError
from echoic.layers.dropout import LockedDropout


def test_one_mask_for_all_steps_and_another_for_each_row() -> None:
    torch.manual_seed(0)
    drop = LockedDropout(0.4)
    inputs = torch.rand(6, 9, 40) + 0.5
    factors = drop(inputs) / inputs
    assert torch.allclose(factors, factors[:, :1].expand_as(factors))
    assert not torch.equal(factors[0, 0], factors[1, 0])
    kept = factors[factors != 0]
    assert 0 < len(kept) < factors.numel()
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / 0.6))


def test_mean_is_kept() -> None:
    torch.manual_seed(0)
    dropped = LockedDropout(0.3)(torch.ones(500, 1, 100))
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)


def test_evaluation_changes_nothing() -> None:
    inputs = torch.randn(2, 3, 4)
    assert torch.equal(LockedDropout(0.9).eval()(inputs), inputs)
    assert torch.equal(LockedDropout(0.0)(inputs), inputs)


@pytest.mark.parametrize("p", [-0.1, 1.0, float("nan")])
def test_no_probability(p: float) -> None:
    with pytest.raises(OptionError, match="at least 0 and below 1"):
        LockedDropout(p)
