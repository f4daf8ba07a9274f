"""Time-aware LSTM (T-LSTM; Baytas et al., 2017)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoic.cells.base import Cell
from echoic.errors import OptionError


class TimeLSTMState(NamedTuple):
    """hidden: [B, H]; cell: [B, H]."""

    hidden: Tensor
    cell: Tensor


class TimeLSTM(Cell):
    """An LSTM for irregular times: the short-term part of its memory fades with the time since the step before.

    The last feature of an input is that elapsed time, not negative and in any unit; it only sets the decay, and the
    gates see the features before it. Gate blocks of the weights are ordered i, f, g, o. (Some of the authors' code has
    a sigmoid for the tanh of the short-term memory.)

    Args:
        input_size: features of an input and the elapsed time, I, at least 2.
        hidden_size: features of the state, H.

    Raises:
        OptionError: no feature beside the elapsed time.
    """

    equations = """
        s = tanh(W_d c + b_d)                                         [short-term memory]
        k = c - s + s / log(e + dt)
        i, f, o = sigmoid(W_i x + b_i + W_h h + b_h),  g = tanh(W_ig x + b_ig + W_hg h + b_hg)
        c' = f * k + i * g
        h' = o * tanh(c')
    """

    input_layout = "features, time since the step before (1)"

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        if input_size < 2:
            raise OptionError(
                f"TimeLSTM: input_size: found {input_size}, expected at least 2: a feature and the elapsed time."
            )
        self.make_weights(4)
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_size, input_size - 1))
        self.weight_short = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.bias_short = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    @classmethod
    def nearest_sizes(cls, input_size: int, hidden_size: int, **options: Any) -> tuple[int, int]:
        return max(input_size, 2), hidden_size

    def reset_parameters(self) -> None:
        """Uniform within 1/sqrt(H), and a forget gate that begins open (bias 1)."""
        super().reset_parameters()
        forget = slice(self.hidden_size, 2 * self.hidden_size)
        with torch.no_grad():
            self.bias_ih[forget] = 1
            self.bias_hh[forget] = 0

    def initial_state(self, batch_size: int) -> TimeLSTMState:
        return TimeLSTMState(self.zeros(batch_size, self.hidden_size), self.zeros(batch_size, self.hidden_size))

    def project(self, inputs: Tensor) -> Tensor:
        features, elapsed = inputs.split([self.input_size - 1, 1], dim=-1)
        remaining = 1 / torch.log(math.e + torch.relu(elapsed))
        return torch.cat([F.linear(features, self.weight_ih, self.bias_ih), remaining], dim=-1)

    def update(self, projected: Tensor, state: TimeLSTMState) -> tuple[Tensor, TimeLSTMState]:
        gates_x, remaining = projected.split([4 * self.hidden_size, 1], dim=-1)
        short = torch.tanh(F.linear(state.cell, self.weight_short, self.bias_short))
        kept = state.cell - short + short * remaining
        sum_i, sum_f, sum_g, sum_o = (gates_x + self.recurrent(state.hidden)).chunk(4, dim=-1)
        i, f, o = torch.sigmoid(sum_i), torch.sigmoid(sum_f), torch.sigmoid(sum_o)
        g = torch.tanh(sum_g)
        self.observe(short=short, i=i, f=f, g=g, o=o)
        cell = f * kept + i * g
        hidden = o * torch.tanh(cell)
        return hidden, TimeLSTMState(hidden, cell)
