"""How far back learning reaches, against a case whose answer is known: a linear recurrence multiplies by rho a step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from echoic.cells import Elman
from echoic.insight.gradients import gradient_by_lag
from echoic.layers import Recurrent

STEPS, UNITS, ROWS = 24, 3, 4


class Linear(nn.Module):
    """A ReLU network in its linear regime: W_hh = rho I, and all states positive."""

    def __init__(self, rho: float, bidirectional: bool = False) -> None:
        super().__init__()
        self.recurrent = Recurrent(Elman(2, UNITS, nonlinearity="relu"), bidirectional=bidirectional)
        with torch.no_grad():
            for name, parameter in self.recurrent.named_parameters():
                parameter.copy_(rho * torch.eye(UNITS) if "weight_hh" in name else torch.full(parameter.shape, 0.5))
        self.double()

    def final_step_loss(self, batch: tuple[Tensor, Tensor | None]) -> Tensor:
        inputs, lengths = batch
        _, state = self.recurrent(inputs, lengths=lengths)
        return self.recurrent.final_hidden(state).sum()


def inputs(lengths: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    return torch.rand(ROWS, STEPS, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) + 0.1, lengths


@pytest.mark.parametrize("rho", [0.5, 0.9, 1.0, 2.0])
def test_the_norm_is_multiplied_by_rho_at_each_step(rho):
    reach = gradient_by_lag(Linear(rho), inputs(), 100)
    (layer,) = reach.layers
    assert reach.rows == ROWS
    assert layer.norms == pytest.approx([UNITS**0.5 * rho**lag for lag in range(STEPS)])
    assert layer.factor == pytest.approx(rho)


def test_vanishing_exploding_and_neither_are_told_apart():
    vanishing, healthy, exploding = (gradient_by_lag(Linear(rho), inputs(), 100).layers[0] for rho in (0.5, 1.0, 2.0))
    assert vanishing.vanishes_at == 10  # 0.5 ** 10 is the first power below a thousandth
    assert "vanishing" in vanishing.verdict
    assert healthy.vanishes_at is healthy.explodes_at is None
    assert "arrives" in healthy.verdict
    assert exploding.explodes_at == 10
    assert "explodes" in exploding.verdict


def test_the_lag_is_counted_from_each_rows_own_end():
    lengths = torch.tensor([24, 5, 9, 1])
    (layer,) = gradient_by_lag(Linear(0.7), inputs(lengths), 100).layers
    assert layer.norms == pytest.approx([UNITS**0.5 * 0.7**lag for lag in range(STEPS)])


def test_a_reversed_layer_ends_at_its_first_step():
    lengths = torch.tensor([24, 5, 9, 3])
    forward, backward = gradient_by_lag(Linear(0.7, bidirectional=True), inputs(lengths), 100).layers
    assert (forward.name, backward.name) == ("layer 0", "layer 0, backward")
    assert backward.norms == pytest.approx(forward.norms)


def test_no_further_than_asked():
    assert len(gradient_by_lag(Linear(0.7), inputs(), 6).layers[0].norms) == 7


def test_the_model_is_left_as_it_was():
    model = Linear(0.7).train()
    marks = {}
    for name, parameter in model.named_parameters():
        marks[name] = parameter.grad = torch.randn_like(parameter)
    gradient_by_lag(model, inputs(), 10)
    assert model.training
    assert all(parameter.grad is marks[name] for name, parameter in model.named_parameters())
