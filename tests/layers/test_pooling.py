"""Pooling against the row alone, and against plain Python over its steps."""

from __future__ import annotations

import pytest
import torch

from echoic.errors import OptionError
from echoic.layers.pooling import POOLINGS, build_pooling

LENGTHS = torch.tensor([7, 1, 0, 3])


def padded_outputs(padding: float) -> torch.Tensor:
    outputs = torch.randn(4, 7, 5, generator=torch.Generator().manual_seed(1))
    for row, length in enumerate(LENGTHS.tolist()):
        outputs[row, length:] = padding
    return outputs


@pytest.mark.parametrize("name", POOLINGS)
def test_a_row_gives_what_it_gives_alone(name: str) -> None:
    """Whatever the padding holds, forward and backward."""
    torch.manual_seed(0)
    pool = build_pooling(name, 5)
    final = torch.randn(4, 5, requires_grad=True)
    outputs = padded_outputs(float("nan")).requires_grad_()
    together = pool(outputs, final, LENGTHS)
    together.square().sum().backward()
    assert outputs.grad is not None or name == "last"
    for row, length in enumerate(LENGTHS.tolist()):
        alone = outputs.detach()[row : row + 1, :length].requires_grad_()
        single = pool(alone, final[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], single)
        if outputs.grad is not None:
            (expected,) = torch.autograd.grad(single.square().sum(), alone, materialize_grads=True)
            torch.testing.assert_close(outputs.grad[row : row + 1, :length], expected)
            assert (outputs.grad[row, length:] == 0).all()
    assert all(torch.isfinite(p.grad).all() for p in pool.parameters() if p.grad is not None)


def test_values() -> None:
    outputs, final = padded_outputs(1e9), torch.randn(4, 5)
    mean, largest = build_pooling("mean", 5)(outputs, final, LENGTHS), build_pooling("max", 5)(outputs, final, LENGTHS)
    torch.testing.assert_close(mean[3], (outputs[3, 0] + outputs[3, 1] + outputs[3, 2]) / 3)
    assert largest[3].tolist() == [max(outputs[3, t, k].item() for t in range(3)) for k in range(5)]
    assert (mean[2] == 0).all()
    assert (largest[2] == 0).all()
    assert build_pooling("last", 5)(outputs, final, LENGTHS) is final


def test_attention_weights_are_shares_of_the_row() -> None:
    torch.manual_seed(0)
    pool = build_pooling("attention", 5)
    outputs = padded_outputs(float("nan"))
    weights = pool.weights(outputs, LENGTHS)
    torch.testing.assert_close(weights.sum(dim=1), torch.tensor([1.0, 1.0, 0.0, 1.0]))
    expected = (weights[3, :3, None] * outputs[3, :3]).sum(dim=0)
    torch.testing.assert_close(pool(outputs, torch.zeros(4, 5), LENGTHS)[3], expected)
    assert weights[0].std() > 1e-3


def test_unknown_name() -> None:
    with pytest.raises(OptionError, match="last, mean, max, attention"):
        build_pooling("men", 5)
