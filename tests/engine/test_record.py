"""Recorded hidden states carry the whole dL/dh_t, in the order of time."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from echoic.cells import LSTM, Elman, LSTMState
from echoic.engine import record_states
from echoic.layers import Recurrent


@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_of_the_hidden_states(reverse: bool) -> None:
    """dL/dh_t by its recursion: what the output adds at t, and W_hh^T (1 - h^2) dL/dh of the step after."""
    cell = Elman(3, 5).double()
    layer = Recurrent([Elman(3, 5).double(), cell], bidirectional=True) if reverse else Recurrent(cell)
    inputs = torch.randn(2, 6, 3, dtype=torch.float64)
    pull = torch.randn(2, 6, 5, dtype=torch.float64)
    with record_states() as runs:
        outputs, _ = layer(inputs)
    (outputs[..., -5:] * pull).sum().backward()
    run = runs[-1]
    assert (run.cell, run.reverse, run.lengths) == ("Elman", reverse, None)
    assert len(runs) == layer.directions
    order = list(range(6))[:: -1 if reverse else 1]  # of the run
    expected = torch.zeros(2, 5, dtype=torch.float64)
    for place in reversed(range(6)):
        t = order[place]
        if place < 5:
            after = run.states[order[place + 1]].detach()
            expected = ((1 - after**2) * expected) @ cell.weight_hh.detach()
        expected = expected + pull[:, t]
        torch.testing.assert_close(run.states[t], outputs[:, t, -5:])
        torch.testing.assert_close(run.states[t].grad, expected)


def test_padding_has_no_gradient() -> None:
    layer, lengths = Recurrent(LSTM(3, 5)), torch.tensor([4, 1, 0])
    with record_states() as (runs):
        outputs, state = layer(torch.randn(3, 6, 3), lengths=lengths)
    (outputs.sum() + state[0].hidden.sum()).backward()
    gradients = torch.stack([hidden.grad for hidden in runs[0].states if hidden.grad is not None])
    assert torch.equal(runs[0].lengths, lengths)
    assert gradients.shape == (6, 3, 5)
    assert (gradients.abs().sum(2) > 0).T.tolist() == [[t < length for t in range(6)] for length in lengths.tolist()]


def test_a_run_per_layer_and_direction_only_inside_the_block() -> None:
    cells = [LSTM(3, 5), LSTM(3, 5), LSTM(10, 4), LSTM(10, 4)]
    layer = Recurrent(cells, bidirectional=True, memory="checkpoint", between=nn.Dropout(0.5)).eval()
    with record_states() as runs:
        recorded, _ = layer(torch.ones(2, 6, 3))
    plain, _ = layer(torch.ones(2, 6, 3))
    assert [(run.reverse, len(run.states), run.states[0].shape[1]) for run in runs] == [
        (False, 6, 5),
        (True, 6, 5),
        (False, 6, 4),
        (True, 6, 4),
    ]
    torch.testing.assert_close(recorded, plain)


def test_without_gradients_states_are_still_recorded() -> None:
    layer = Recurrent(LSTM(3, 5))
    state = (LSTMState(torch.randn(2, 5), torch.randn(2, 5)),)
    with torch.no_grad(), record_states() as runs:
        outputs, _ = layer(torch.randn(2, 6, 3), state)
    assert torch.equal(torch.stack(runs[0].states, 1), outputs)
