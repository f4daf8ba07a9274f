"""What cells promise beside their equations: where they begin, what they cannot see, what they refuse."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from echoic.cells import GRUD, JANET, SLSTM, Clockwork, GraphGRU, IndRNN, SLSTMState, build_cell
from echoic.errors import OptionError
from echoic.layers import Recurrent


@pytest.mark.parametrize(
    ("name", "sizes", "options", "message"),
    [
        ("IndRNN", (3, 5), {"nonlinearity": "ReLU"}, 'nonlinearity: found "ReLU", expected one of tanh, relu'),
        ("IndRNN", (3, 5), {"memory_steps": 0}, "memory_steps: found 0"),
        ("JANET", (3, 5), {"memory_steps": 2}, "memory_steps: found 2, expected at least 3"),
        ("CoRNN", (3, 5), {"damping": 0.0}, r"damping: found 0.0, expected more than 0"),
        ("CoRNN", (3, 5), {"time_step": float("nan")}, "time_step: found nan"),
        ("SLSTM", (3, 5), {"heads": 2}, "heads: found 2, expected a divisor of hidden_size 5"),
        ("SLSTM", (3, 5), {"heads": 0}, "heads: found 0"),
        ("CfC", (3, 5), {"backbone_size": 0}, "backbone_size: found 0"),
        ("CfC", (1, 5), {"timed": True}, "input_size 1, expected at least 2"),
        ("TimeLSTM", (1, 5), {}, "input_size: found 1, expected at least 2"),
        ("GRUD", (4, 5), {}, "input_size: found 4, expected a multiple of 3"),
        ("Clockwork", (3, 5), {"clocks": 6}, "clocks: found 6, expected 1 to 5"),
        ("Clockwork", (3, 5), {"clocks": 0}, "clocks: found 0"),
        ("ConvLSTM", (32, 100), {}, "hidden_size: found 100, expected a multiple of 4 times 4"),
        ("ConvLSTM", (6, 12), {"height": 4, "width": 3}, "input_size: found 6"),
        ("ConvLSTM", (64, 64), {"kernel": 4}, "kernel: found 4, expected an odd number"),
        ("ConvLSTM", (64, 64), {"width": 0}, "found 4 and 0"),
        ("GraphGRU", (4, 6), {}, "hidden_size: found 6, expected a multiple of the 4 nodes"),
        ("GraphGRU", (3, 8), {}, "input_size: found 3, expected a multiple of the 4 nodes"),
        ("GraphGRU", (4, 8), {"hops": 0}, "hops: found 0"),
        ("GraphGRU", (4, 8), {"nodes": 0}, "nodes: found 0"),
    ],
)
def test_refusals(name: str, sizes: tuple[int, int], options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build_cell(name, *sizes, **options)


@pytest.mark.parametrize(("name", "options"), [("GRUD", {}), ("TimeLSTM", {}), ("CfC", {"timed": True})])
def test_a_cell_whose_inputs_have_places_is_a_first_layer(name: str, options: dict[str, Any]) -> None:
    first, above = build_cell(name, 6, 6, **options), build_cell("GRU", 6, 6)
    assert Recurrent([first, above])(torch.rand(2, 3, 6))[0].shape == (2, 3, 6)
    with pytest.raises(OptionError, match=r"layer 1: found .* as the first layer only"):
        Recurrent([above, first])


def test_indrnn_begins_between_forgetting_and_exploding() -> None:
    weights = IndRNN(3, 4000, memory_steps=2).weight_hh
    assert 0 <= weights.min() < 0.01
    assert math.sqrt(2) - 0.01 < weights.max() <= math.sqrt(2)


def test_janet_begins_with_memories_of_all_lengths() -> None:
    memories = JANET(3, 4000, memory_steps=50).bias_ih[:4000].exp()
    assert 0.99 < memories.min() < 1.1
    assert 48.9 < memories.max() < 49.01


@pytest.mark.parametrize("exponential", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_slstm_never_overflows(exponential: bool, scale: float) -> None:
    """From an empty state, with exponents far beyond what float32 can hold."""
    torch.manual_seed(0)
    cell = SLSTM(3, 8, exponential_forget=exponential)
    inputs = (torch.randn(5, 40, 3) * scale).requires_grad_()
    outputs, (state,) = Recurrent(cell)(inputs)
    outputs.sum().backward()
    assert outputs.abs().max() <= 1
    assert state.normaliser.min() >= 1
    assert all(value.isfinite().all() for value in (*state, inputs.grad, *(p.grad for p in cell.parameters())))


def test_the_stabiliser_changes_no_output() -> None:
    torch.manual_seed(0)
    cell, x = SLSTM(3, 5).double(), torch.randn(4, 3).double()
    hidden, kept, shift = (torch.randn(4, 5).double() for _ in range(3))
    normaliser = 3 + kept.abs()
    plain = SLSTMState(hidden, kept, normaliser, torch.zeros_like(kept))
    moved = SLSTMState(hidden, kept * torch.exp(-shift), normaliser * torch.exp(-shift), shift)
    torch.testing.assert_close(cell.step(x, moved)[0], cell.step(x, plain)[0])


def test_clocks_run_at_their_periods_and_never_run_out() -> None:
    torch.manual_seed(0)
    cell = Clockwork(3, 7, clocks=3)
    state = cell.initial_state(2)
    for t in range(50):
        _, new = cell.step(torch.randn(2, 3), state)
        ran = (new.hidden != state.hidden).all(0)
        assert ran.tolist() == [True] * 3 + [t % 2 == 0] * 2 + [t % 4 == 0] * 2
        assert 0 <= new.count.min() <= new.count.max() <= 3
        state = new


def test_a_fast_module_is_not_seen_by_a_slow_one() -> None:
    cell = Clockwork(3, 6, clocks=3)
    hidden = torch.randn(1, 6)
    sees = torch.autograd.functional.jacobian(lambda h: cell.recurrent(h)[0], hidden)[:, 0] != 0
    periods = torch.tensor([1, 1, 2, 2, 4, 4])
    assert torch.equal(sees, periods.unsqueeze(0) >= periods.unsqueeze(1))


def test_grud_does_not_look_at_missing_values() -> None:
    torch.manual_seed(0)
    inputs, other = torch.rand(2, 9, 12), torch.rand(2, 9, 12)
    mask = inputs[..., 4:8] > 0.5
    inputs[..., 4:8] = mask.float()
    changed = inputs.clone()
    changed[..., :4] = torch.where(mask, inputs[..., :4], other[..., :4])
    layer = Recurrent(GRUD(12, 5))
    assert not torch.equal(changed, inputs)
    torch.testing.assert_close(layer(changed)[0], layer(inputs)[0], rtol=0, atol=0)


@pytest.mark.parametrize("hops", [1, 2])
def test_a_node_sees_as_far_as_the_hops(hops: int) -> None:
    """On a ring of nine nodes, by the convolutions of the input."""
    cell = GraphGRU(9, 18, nodes=9, hops=hops)
    sees = torch.autograd.functional.jacobian(lambda x: cell.project(x)[0], torch.randn(1, 9))[:, 0].view(9, 6, 9)
    ahead = (torch.arange(9).unsqueeze(0) - torch.arange(9).unsqueeze(1)) % 9
    assert torch.equal((sees != 0).any(1), torch.minimum(ahead, 9 - ahead) <= hops)


def test_renaming_the_nodes_renames_the_outputs() -> None:
    torch.manual_seed(0)
    cell, edges, order = GraphGRU(10, 15, nodes=5).double(), torch.rand(5, 5).double(), torch.tensor([3, 0, 4, 1, 2])
    inputs = torch.randn(2, 6, 5, 2).double()
    cell.set_adjacency(edges)
    outputs = Recurrent(cell)(inputs.flatten(2))[0].view(2, 6, 5, 3)
    cell.set_adjacency(edges[order][:, order])
    renamed = Recurrent(cell)(inputs[:, :, order].flatten(2))[0].view(2, 6, 5, 3)
    torch.testing.assert_close(renamed, outputs[:, :, order])
    assert not torch.allclose(renamed, outputs)


def test_a_node_without_edges_sees_only_itself() -> None:
    cell = GraphGRU(4, 8)
    cell.set_adjacency(torch.zeros(4, 4))
    assert Recurrent(cell)(torch.randn(2, 3, 4))[0].isfinite().all()


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        (torch.ones(3, 4), r"found shape \[3, 4\], expected \[4, 4\]"),
        (-torch.eye(4), "negative"),
        (torch.full((4, 4), float("nan")), "NaN"),
    ],
)
def test_edges_that_are_none(edges: torch.Tensor, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        GraphGRU(4, 8).set_adjacency(edges)
