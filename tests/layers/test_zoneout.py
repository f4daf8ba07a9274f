"""Zoneout: units keep their state in training, the expectation in evaluation."""

from __future__ import annotations

import pytest
import torch

from echoic.cells import Cell, build_cell, registered_cells
from echoic.errors import OptionError
from echoic.layers import Recurrent
from echoic.layers.zoneout import Zoneout


def build(name: str, input_size: int, hidden_size: int) -> Cell:
    return build_cell(name, *registered_cells()[name].nearest_sizes(input_size, hidden_size))


def random_state(cell: torch.nn.Module, batch: int):
    start = cell.initial_state(batch)
    return type(start)(*(torch.randn_like(part) for part in start))


@pytest.mark.parametrize("name", registered_cells())
def test_a_unit_keeps_its_state_or_takes_the_new_one(name: str) -> None:
    torch.manual_seed(0)
    inner = build(name, 3, 50)
    cell = Zoneout(inner, 0.3)
    state, x = random_state(inner, 40), torch.randn(40, inner.input_size)
    plain_output, new = inner.step(x, state)
    output, zoned = cell.step(x, state)
    assert type(zoned) is type(state)
    for field, old_part, new_part, part in zip(state._fields, state, new, zoned, strict=True):
        if field in inner.unzoned:
            assert torch.equal(part, new_part)
            continue
        kept = part == old_part
        assert torch.equal(torch.where(kept, old_part, new_part), part)
        assert kept[new_part != old_part].float().mean().item() == pytest.approx(0.3, abs=0.04)
    assert not torch.equal(output, plain_output)
    assert torch.equal(output, zoned[0])


@pytest.mark.parametrize("name", registered_cells())
def test_evaluation_is_the_expectation(name: str) -> None:
    torch.manual_seed(0)
    inner = build(name, 3, 5)
    cell = Zoneout(inner, 0.3).eval()
    state, x = random_state(inner, 4), torch.randn(4, inner.input_size)
    _, new = inner.step(x, state)
    output, zoned = cell.step(x, state)
    for field, old_part, new_part, part in zip(state._fields, state, new, zoned, strict=True):
        expected = new_part if field in inner.unzoned else 0.3 * old_part + 0.7 * new_part
        torch.testing.assert_close(part, expected)
    assert torch.equal(output, zoned[0])


@pytest.mark.parametrize("name", registered_cells())
def test_zero_is_the_plain_cell(name: str) -> None:
    torch.manual_seed(0)
    inner = build(name, 3, 5)
    inputs, lengths = torch.randn(4, 7, inner.input_size), torch.tensor([7, 1, 0, 4])
    outputs, ends = Recurrent(Zoneout(inner, 0.0))(inputs, lengths=lengths)
    expected, expected_ends = Recurrent(inner)(inputs, lengths=lengths)
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(tuple(ends[0]), tuple(expected_ends[0]))


@pytest.mark.parametrize("memory", ["recompute", "checkpoint"])
def test_the_replay_draws_the_same_units(memory: str) -> None:
    torch.manual_seed(0)
    cell = Zoneout(build_cell("LSTM", 3, 5), 0.5)
    inputs = torch.randn(4, 9, 3)
    gradients = []
    for kind in ("store", memory):
        torch.manual_seed(3)
        cell.zero_grad()
        Recurrent(cell, memory=kind)(inputs)[0].square().sum().backward()
        gradients.append([p.grad.clone() for p in cell.parameters()])
    for expected, found in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected)


def test_the_backward_twin_has_weights_of_its_own() -> None:
    layer = Recurrent(Zoneout(build_cell("GRU", 3, 5), 0.2), bidirectional=True)
    assert not torch.equal(layer.cells[0].cell.weight_hh, layer.cells[1].cell.weight_hh)


def test_refusal() -> None:
    with pytest.raises(OptionError, match="zoneout"):
        Zoneout(build_cell("GRU", 3, 5), -0.1)
