"""The contract of a cell, and what a cell of one's own gets by it."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from echoic.cells import Cell, build_cell, observed, observing, registered_cells
from echoic.layers import Recurrent


class DecayState(NamedTuple):
    hidden: Tensor


class Decay(Cell):
    """A cell as a user would write it."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.make_weights(1)
        self.reset_parameters()

    def initial_state(self, batch_size: int) -> DecayState:
        return DecayState(self.zeros(batch_size, self.hidden_size))

    def update(self, projected: Tensor, state: DecayState) -> tuple[Tensor, DecayState]:
        gate = torch.sigmoid(self.recurrent(state.hidden))
        self.observe(gate=gate)
        hidden = gate * state.hidden + projected
        return hidden, DecayState(hidden)


def build_nearest(name: str, input_size: int, hidden_size: int) -> Cell:
    return build_cell(name, *registered_cells()[name].nearest_sizes(input_size, hidden_size))


@pytest.mark.parametrize("name", registered_cells())
def test_step_is_project_and_update(name: str) -> None:
    cell = build_nearest(name, 3, 5)
    start = cell.initial_state(4)
    assert all(not part.any() and part.shape[0] == 4 for part in start)
    state = type(start)(*(torch.randn_like(part) for part in start))
    x = torch.randn(4, cell.input_size)
    output, new = cell.step(x, state)
    expected, expected_new = cell.update(cell.project(x), state)
    assert torch.equal(output, expected)
    assert all(torch.equal(a, b) for a, b in zip(new, expected_new, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(new, state, strict=True))


@pytest.mark.parametrize("name", registered_cells())
def test_initial_state_follows_type(name: str) -> None:
    assert all(part.dtype == torch.float64 for part in build_nearest(name, 3, 5).double().initial_state(2))


@pytest.mark.parametrize("name", ["Elman", "Jordan", "LSTM", "GRU", "MGU", "CoRNN"])
def test_weights_begin_within_the_bound(name: str) -> None:
    torch.manual_seed(0)
    cell = build_cell(name, 30, 25)
    for parameter in (cell.weight_ih, cell.weight_hh):
        assert parameter.abs().max() <= 1 / math.sqrt(25)
        assert parameter.std().item() == pytest.approx(1 / math.sqrt(25 * 3), rel=0.1)


def test_a_cell_of_ones_own_runs_like_any() -> None:
    cell = Decay(3, 5)
    layer = Recurrent(cell, bidirectional=True)
    assert "Decay on native" in layer.explain()
    inputs = torch.randn(2, 6, 3)
    outputs, (forward, _) = layer(inputs, lengths=torch.tensor([6, 2]))
    hidden = torch.zeros(1, 5)
    for t in range(2):
        gate = torch.sigmoid(hidden @ cell.weight_hh.T + cell.bias_hh)
        hidden = gate * hidden + inputs[1:, t] @ cell.weight_ih.T + cell.bias_ih
    torch.testing.assert_close(forward.hidden[1:], hidden)
    torch.testing.assert_close(outputs[1:, 1, :5], hidden)


def test_observe_stores_only_inside_the_block() -> None:
    layer = Recurrent(Decay(3, 5))
    inputs = torch.randn(2, 6, 3)
    assert not observing()
    with observed() as values:
        layer(inputs)
        with observed() as inner:
            layer(inputs[:, :2])
        assert observing()
    layer(inputs)
    assert not observing()
    assert list(values) == ["gate"]
    assert len(values["gate"]) == 6
    assert len(inner["gate"]) == 2
    assert values["gate"][0].shape == (2, 5)


def test_gates_of_the_known_cells_are_named() -> None:
    names = {"LSTM": {"i", "f", "g", "o"}, "GRU": {"r", "z", "n"}}
    for name, gates in names.items():
        with observed() as values:
            Recurrent(build_cell(name, 3, 5))(torch.randn(2, 6, 3))  # the torch kernel could not show them
        assert set(values) == gates
        assert {len(steps) for steps in values.values()} == {6}
