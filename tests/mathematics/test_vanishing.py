"""Section 8 of docs/mathematics.md in numbers: products of Jacobians, their bound, and the additive path of gates."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jacobian

from echoic.cells import Cell, build_cell

LARGEST_SLOPE = {"tanh": 1.0, "sigmoid": 0.25, "relu": 1.0}
HIDDEN, STEPS = 6, 12


def elman(nonlinearity: str, largest: float) -> Cell:
    """An Elman cell whose recurrent matrix has ``largest`` as its largest singular value."""
    torch.manual_seed(2)
    cell = build_cell("Elman", 3, HIDDEN, nonlinearity=nonlinearity).double()
    with torch.no_grad():
        cell.weight_hh.mul_(largest / torch.linalg.matrix_norm(cell.weight_hh, 2))
    return cell


def end_from(cell: Cell, inputs: Tensor, hidden: Tensor) -> Tensor:
    """h_T as a function of h_k, the inputs between being given."""
    state = type(cell.initial_state(1))(hidden)
    for x in inputs:
        _, state = cell.step(x[None], state)
    return state[0]


@pytest.mark.parametrize("nonlinearity", LARGEST_SLOPE)
@pytest.mark.parametrize("largest", [0.7, 3.0])
def test_jacobian_is_a_product_below_the_bound(nonlinearity: str, largest: float) -> None:
    cell = elman(nonlinearity, largest)
    inputs = torch.randn(STEPS, 3, dtype=torch.float64)
    hidden = torch.randn(1, HIDDEN, dtype=torch.float64)
    whole = jacobian(lambda h: end_from(cell, inputs, h)[0], hidden)[:, 0]
    product = torch.eye(HIDDEN, dtype=torch.float64)
    for t in range(STEPS):
        product = jacobian(lambda h, t=t: end_from(cell, inputs[t : t + 1], h)[0], hidden)[:, 0] @ product
        hidden = end_from(cell, inputs[t : t + 1], hidden)
    torch.testing.assert_close(whole, product)
    norm = torch.linalg.matrix_norm(whole, 2).item()
    assert norm <= (LARGEST_SLOPE[nonlinearity] * largest) ** STEPS
    assert norm > 0 or nonlinearity == "relu"


def test_the_direct_path_of_an_lstm_is_the_product_of_its_forget_gates() -> None:
    """With the recurrent weights at zero only the direct path is left: no matrix, no slope of tanh."""
    torch.manual_seed(0)
    cell = build_cell("LSTM", 3, HIDDEN).double()
    torch.nn.init.zeros_(cell.weight_hh)
    inputs = torch.randn(STEPS, 3, dtype=torch.float64)
    kept = torch.ones(HIDDEN, dtype=torch.float64)
    start = cell.initial_state(1)
    memory = torch.randn(1, HIDDEN, dtype=torch.float64, requires_grad=True)
    state = start._replace(cell=memory)
    for x in inputs:
        forget = torch.sigmoid(cell.project(x[None]) + cell.bias_hh).chunk(4, dim=-1)[1]
        kept = kept * forget[0].detach()
        _, state = cell.step(x[None], state)
    (gradient,) = torch.autograd.grad(state.cell.sum(), memory)
    torch.testing.assert_close(gradient[0], kept)


def test_figures_named_in_the_text() -> None:
    def time_constant(bias: float) -> float:
        return -1 / math.log(1 / (1 + math.exp(-bias)))

    assert time_constant(0) == pytest.approx(1.4, abs=0.05)
    assert time_constant(1) == pytest.approx(3.2, abs=0.05)
    assert time_constant(6) == pytest.approx(math.exp(6), rel=0.01)
    assert pytest.approx(7e-10, rel=0.02) == 0.9**200
