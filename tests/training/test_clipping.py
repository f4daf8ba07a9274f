import pytest
import torch
from torch import nn

from echoic.training.clipping import clip_gradients


def parameters(*gradients):
    made = [nn.Parameter(torch.zeros(len(values))) for values in gradients]
    for parameter, values in zip(made, gradients, strict=True):
        parameter.grad = torch.tensor(values)
    return made


def test_norm_is_that_of_all_gradients_together():
    held = parameters([3.0, 0.0], [0.0, 4.0, 12.0])
    norm, clipped = clip_gradients(held, 6.5, None)
    assert norm == pytest.approx(13.0)
    assert clipped
    assert torch.allclose(held[0].grad, torch.tensor([1.5, 0.0]))
    assert torch.allclose(held[1].grad, torch.tensor([0.0, 2.0, 6.0]))


def test_smaller_gradients_are_left_as_they_are():
    held = parameters([3.0, -4.0])
    assert clip_gradients(held, 5.5, 4.5) == (pytest.approx(5.0), False)
    assert held[0].grad.tolist() == [3.0, -4.0]


def test_value_clips_each_element():
    held = parameters([3.0, -0.25], [-7.0])
    norm, clipped = clip_gradients(held, None, 0.5)
    assert norm == pytest.approx((9 + 0.0625 + 49) ** 0.5)
    assert clipped
    assert held[0].grad.tolist() == [0.5, -0.25]
    assert held[1].grad.tolist() == [-0.5]


def test_norm_counts_what_the_values_left():
    held = parameters([100.0, 0.0], [2.0])
    norm, _ = clip_gradients(held, 1.0, 1.5)
    assert norm == pytest.approx(10004**0.5)
    assert torch.cat([p.grad for p in held]).tolist() == pytest.approx([0.5**0.5, 0.0, 0.5**0.5], rel=1e-5)


def test_no_gradient_at_all():
    assert clip_gradients([nn.Parameter(torch.ones(2))], 1.0, 1.0) == (0.0, False)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_seen_in_the_norm(bad):
    norm, _ = clip_gradients(parameters([1.0, bad]), 1.0, None)
    assert not torch.isfinite(torch.tensor(norm))
