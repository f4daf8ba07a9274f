"""Chrono initialisation."""

from __future__ import annotations

import math

import pytest
import torch

from echoic.cells import build_cell, observed
from echoic.layers.chrono import chrono_initialise


@pytest.mark.parametrize(
    ("name", "options", "gate"),
    [("LSTM", {}, "f"), ("LSTM", {"layer_norm": True}, "f"), ("LSTM", {"coupled": True}, "f"), ("GRU", {}, "z")],
)
def test_gates_keep_for_as_long_as_asked(name: str, options: dict[str, bool], gate: str) -> None:
    """With the weights at zero the gate's value is its bias alone: time constants spread over 1 to 100 steps."""
    torch.manual_seed(0)
    cell = build_cell(name, 2, 400, **options)
    for weight in (cell.weight_ih, cell.weight_hh):
        torch.nn.init.zeros_(weight)
    torch.nn.init.zeros_(cell.bias_ih)
    torch.nn.init.zeros_(cell.bias_hh)
    assert chrono_initialise(cell, 100)
    with observed() as gates:
        cell.step(torch.ones(1, 2), cell.initial_state(1))
    bias = torch.logit(gates[gate][0].squeeze(0))
    assert 0 <= bias.min() < math.log(5)
    assert math.log(95) < bias.max() <= math.log(99)
    assert bias.exp().mean().item() == pytest.approx(50, abs=4)
    if name == "LSTM":
        torch.testing.assert_close(torch.logit(gates["i"][0].squeeze(0)), -bias, rtol=1e-4, atol=1e-4)


def test_cells_without_gates_are_left() -> None:
    cell = build_cell("Elman", 2, 3)
    before = cell.bias_ih.clone()
    assert not chrono_initialise(cell, 100)
    assert torch.equal(cell.bias_ih, before)
