"""Dropout by sixteen bits an element: its rate, scale, gradient and independence."""

import pytest
import torch

from echoic.errors import OptionError
from echoic.layers.quick_dropout import QuickDropout


@pytest.mark.parametrize("p", [0.1, 0.37, 0.9])
def test_rate_scale_and_mean(p):
    torch.manual_seed(1)
    found = QuickDropout(p)(torch.ones(401, 503))
    kept = found != 0
    count = found.numel()
    deviation = (p * (1 - p) / count) ** 0.5
    assert float(kept.float().mean()) == pytest.approx(1 - p, abs=5 * deviation)
    torch.testing.assert_close(found[kept], torch.full_like(found[kept], 1 / (1 - p)), rtol=1e-3, atol=0)


def test_elements_are_dropped_independently():
    """Neighbours come from one drawn number: they must not know of each other, and neither may the columns."""
    torch.manual_seed(2)
    dropped = (QuickDropout(0.5)(torch.ones(40_000, 8)) == 0).double()
    correlation = torch.corrcoef(dropped.T) - torch.eye(8)
    assert correlation.abs().max() < 5 / 40_000**0.5
    assert (dropped.mean(0) - 0.5).abs().max() < 5 * 0.5 / 40_000**0.5


def test_gradient_passes_where_values_do():
    torch.manual_seed(3)
    inputs = torch.randn(3, 7, 5, dtype=torch.float64, requires_grad=True)
    outputs = QuickDropout(0.4)(inputs)
    outputs.sum().backward()
    assert inputs.grad is not None
    torch.testing.assert_close(inputs.grad, (outputs / inputs).detach())


def test_nothing_is_done_in_evaluation_or_without_probability():
    inputs = torch.randn(3, 5)
    assert QuickDropout(0.5).eval()(inputs) is inputs
    assert QuickDropout(0.0)(inputs) is inputs
    assert QuickDropout(0.5)(torch.zeros(0, 4)).shape == (0, 4)
    with pytest.raises(OptionError, match=r"1\.5"):
        QuickDropout(1.5)


def test_the_same_seed_gives_the_same_mask():
    masks = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        masks.append(QuickDropout(0.5)(torch.ones(64)))
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])
