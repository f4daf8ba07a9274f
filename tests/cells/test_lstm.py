"""What an LSTM starts from, and options against formulas written out here."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from echoic.cells import LSTM, LSTMState, observed
from echoic.errors import OptionError
from echoic.layers import Recurrent

FORGET = slice(5, 10)


@pytest.mark.parametrize("forget_bias", [1.0, 2.5])
def test_forget_gates_begin_open_in_every_layer_and_direction(forget_bias: float) -> None:
    options = {"forget_bias": forget_bias}
    stacks = [
        Recurrent([LSTM(3, 5, **options), LSTM(5, 5, **options), LSTM(5, 5, **options)]),
        Recurrent(LSTM(3, 5, **options), bidirectional=True),
    ]
    for cell in (cell for stack in stacks for cell in stack.cells):
        torch.testing.assert_close((cell.bias_ih + cell.bias_hh)[FORGET], torch.full((5,), forget_bias))
        assert not cell.bias_hh[FORGET].any()
        others = torch.cat([cell.bias_ih[:5], cell.bias_ih[10:], cell.bias_hh[:5], cell.bias_hh[10:]])
        assert others.unique().numel() == 30
        assert others.abs().max() <= 5**-0.5


def test_forget_gates_begin_open_behind_layer_normalisation() -> None:
    cell = LSTM(3, 5, layer_norm=True)
    with observed() as values:
        cell.update(cell.norm_ih(torch.zeros(2, 20)), cell.initial_state(2))
    opening = torch.sigmoid(1 + cell.norm_hh(cell.bias_hh)[FORGET])
    torch.testing.assert_close(values["f"][0][0], opening)


def test_coupled_gates_add_up_to_one() -> None:
    cell = LSTM(3, 5, coupled=True)
    with observed() as values:
        cell.step(torch.randn(4, 3), LSTMState(torch.randn(4, 5), torch.randn(4, 5)))
    torch.testing.assert_close(values["i"][0] + values["f"][0], torch.ones(4, 5))


def test_all_options_together() -> None:
    torch.manual_seed(0)
    cell = LSTM(3, 5, peephole=True, projection_size=2, layer_norm=True).double()
    for norm in (cell.norm_ih, cell.norm_hh, cell.norm_cell):
        torch.nn.init.normal_(norm.weight), torch.nn.init.normal_(norm.bias)
    x, h, c = (torch.randn(4, size, dtype=torch.float64) for size in (3, 2, 5))
    output, state = cell.step(x, LSTMState(h, c))

    def normalise(value: torch.Tensor, norm: torch.nn.LayerNorm) -> torch.Tensor:
        return F.layer_norm(value, value.shape[-1:], norm.weight, norm.bias)

    sums = normalise(x @ cell.weight_ih.T + cell.bias_ih, cell.norm_ih)
    sums = sums + normalise(h @ cell.weight_hh.T + cell.bias_hh, cell.norm_hh)
    p_i, p_f, p_o = cell.weight_peephole
    new = torch.sigmoid(sums[:, 5:10] + p_f * c) * c + torch.sigmoid(sums[:, :5] + p_i * c) * torch.tanh(sums[:, 10:15])
    hidden = torch.sigmoid(sums[:, 15:] + p_o * new) * torch.tanh(normalise(new, cell.norm_cell))
    torch.testing.assert_close(state.cell, new)
    torch.testing.assert_close(output, hidden @ cell.weight_hr.T)
    assert torch.equal(output, state.hidden)


@pytest.mark.parametrize(("hidden", "projection"), [(5, 5), (5, 6), (1, 1), (5, 0), (5, -1)])
def test_a_projection_must_shrink(hidden: int, projection: int) -> None:
    with pytest.raises(OptionError, match=r"projection_size|output_size"):
        LSTM(3, hidden, projection_size=projection)
