"""Elman, Jordan and GRU against formulas written out here."""

from __future__ import annotations

import pytest
import torch

from echoic.cells import GRU, Elman, ElmanState, GRUState, Jordan, JordanState
from echoic.errors import OptionError

FUNCTIONS = {
    "tanh": lambda v: (torch.exp(v) - torch.exp(-v)) / (torch.exp(v) + torch.exp(-v)),
    "relu": lambda v: v * (v > 0),
    "sigmoid": lambda v: 1 / (1 + torch.exp(-v)),
    "identity": lambda v: v,
}


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize("name", ["tanh", "relu", "sigmoid"])
def test_elman(name: str) -> None:
    cell, x, h = Elman(3, 5, nonlinearity=name).double(), draw(4, 3), draw(4, 5)
    output, state = cell.step(x, ElmanState(h))
    expected = FUNCTIONS[name](x @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(state.hidden, expected)


@pytest.mark.parametrize("name", ["tanh", "relu", "sigmoid"])
@pytest.mark.parametrize("output_name", FUNCTIONS)
def test_jordan_sees_its_output(name: str, output_name: str) -> None:
    cell = Jordan(3, 5, output_size=2, nonlinearity=name, output_nonlinearity=output_name).double()
    x, y = draw(4, 3), draw(4, 2)
    output, state = cell.step(x, JordanState(y))
    hidden = FUNCTIONS[name](x @ cell.weight_ih.T + cell.bias_ih + y @ cell.weight_hh.T + cell.bias_hh)
    expected = FUNCTIONS[output_name](hidden @ cell.weight_hy.T + cell.bias_hy)
    assert cell.output_size == 2
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(state.output, expected)


@pytest.mark.parametrize("reset_after", [True, False])
def test_gru(reset_after: bool) -> None:
    cell, x, h = GRU(3, 5, reset_after=reset_after).double(), draw(4, 3), draw(4, 5)
    output, _ = cell.step(x, GRUState(h))
    (w_r, w_z, w_n), (u_r, u_z, u_n) = cell.weight_ih.split(5), cell.weight_hh.split(5)
    (b_r, b_z, b_n), (c_r, c_z, c_n) = cell.bias_ih.split(5), cell.bias_hh.split(5)
    r = FUNCTIONS["sigmoid"](x @ w_r.T + b_r + h @ u_r.T + c_r)
    z = FUNCTIONS["sigmoid"](x @ w_z.T + b_z + h @ u_z.T + c_z)
    inner = r * (h @ u_n.T + c_n) if reset_after else (r * h) @ u_n.T + c_n
    expected = (1 - z) * FUNCTIONS["tanh"](x @ w_n.T + b_n + inner) + z * h
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Elman(3, 5, nonlinearity="Tanh"), 'nonlinearity: found "Tanh", expected one of tanh, relu, sigmoid'),
        (lambda: Jordan(3, 5, nonlinearity="identity"), 'nonlinearity: found "identity"'),
        (lambda: Jordan(3, 5, output_nonlinearity="linear"), 'output_nonlinearity: found "linear".*identity'),
        (lambda: Jordan(3, 5, output_size=0), "output_size"),
    ],
)
def test_unknown_functions_are_refused(make, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make()
