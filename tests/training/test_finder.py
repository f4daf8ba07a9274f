import math

import pytest
import torch
from tests.training.toy import ToyBatches, make_toy, settings
from torch import nn

from echoic import notices
from echoic.errors import TrainingDiverged
from echoic.training.contract import Loss
from echoic.training.finder import HIGHEST, LOWEST, find_learning_rate


def test_weights_gradients_and_random_state_are_left_alone():
    model = make_toy(dropout=0.4)
    before, random = {n: t.clone() for n, t in model.state_dict().items()}, torch.get_rng_state()
    find_learning_rate(model, ToyBatches(), settings())
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    assert model.training


class Valley(nn.Module):
    """A parabola: plain gradient descent diverges beyond a rate of 2 / curvature."""

    def __init__(self, curvature):
        super().__init__()
        self.place, self.curvature = nn.Parameter(torch.full((2, 2), 3.0)), curvature

    def loss(self, batch, carry=None):
        return Loss(0.5 * self.curvature * self.place.square().sum(), 1)


@pytest.mark.parametrize("curvature", [4.0, 40.0, 400.0])
def test_rate_on_a_parabola_lies_below_where_descent_diverges(curvature):
    options = settings(optimiser="sgd", momentum=0.0, clip=None, weight_decay=0.0)
    rate = find_learning_rate(Valley(curvature), ToyBatches(), options)
    assert 0.01 / curvature < rate < 2 / curvature


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [4, 16])
def test_rate_trains_well_though_batches_differ_more_than_steps(size, seed):
    """The best constant rates for this model and these batches, tried by hand, are 0.03 to 0.1."""
    rate = find_learning_rate(make_toy(seed=seed), ToyBatches(count=12, size=size, seed=seed), settings())
    assert 0.008 < rate < 0.3


def test_it_is_said():
    with notices.collected() as said:
        rate = find_learning_rate(make_toy(), ToyBatches(count=2), settings())
    assert said == [f"learning rate {rate:.2g} found by a range test of 80 steps."]


@pytest.mark.parametrize("bad", [1, 3, 40])
def test_a_loss_that_is_no_number_ends_the_search(bad):
    class Failing(Valley):
        calls = 0

        def loss(self, batch, carry=None):
            type(self).calls += 1
            found = super().loss(batch, carry)
            return found if self.calls <= bad else Loss(found.mean * float("nan"), 1)

    rate = find_learning_rate(Failing(4.0), ToyBatches(), settings())
    assert math.isfinite(rate)
    assert LOWEST / 10 <= rate <= HIGHEST


def test_a_loss_that_is_no_number_from_the_start_is_said():
    batches = ToyBatches(shuffle=False)
    batches.all[0].inputs[0, 0, 0] = float("nan")
    batches.all = batches.all[:1]
    with pytest.raises(TrainingDiverged, match=r"search for a learning rate, step 1: the loss became nan.*of cell"):
        find_learning_rate(make_toy(), batches, settings())


def test_the_rate_does_not_depend_on_the_random_state():
    torch.manual_seed(3)
    rates = [find_learning_rate(make_toy(), ToyBatches(), settings()) for _ in range(2)]
    assert rates[0] == rates[1]
