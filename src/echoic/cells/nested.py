"""Nested LSTM (Moniz and Krueger, 2017)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoic.cells.base import Cell


class NestedLSTMState(NamedTuple):
    """hidden: [B, H]; cell: [B, H], of the outer LSTM, which is the inner one's hidden state; inner: [B, H]."""

    hidden: Tensor
    cell: Tensor
    inner: Tensor


class NestedLSTM(Cell):
    """An LSTM whose cell state is computed by an LSTM instead of being a sum, two levels deep.

    Gate blocks are ordered i, f, g, o, in the outer weights and in the inner ones (``weight_inner_ih`` for i * g,
    ``weight_inner_hh`` for f * c).

    Args:
        input_size: features of an input, I.
        hidden_size: features of each of the three parts of the state, H.
    """

    equations = """
        i, f, o = sigmoid(W_i x + b_i + W_h h + b_h),  g = tanh(W_ig x + b_ig + W_hg h + b_hg)
        I, F, O = sigmoid(V_i (i * g) + V_h (f * c) + a),  G = tanh(V_ig (i * g) + V_hg (f * c) + a_g)
        d' = F * d + I * G                                            [the inner cell]
        c' = O * tanh(d')
        h' = o * tanh(c')
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.make_weights(4)
        self.weight_inner_ih = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.weight_inner_hh = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias_inner = nn.Parameter(torch.empty(4 * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform within 1/sqrt(H), and forget gates that begin open (bias 1)."""
        super().reset_parameters()
        forget = slice(self.hidden_size, 2 * self.hidden_size)
        with torch.no_grad():
            self.bias_ih[forget] = 1
            self.bias_hh[forget] = 0
            self.bias_inner[forget] = 1

    def initial_state(self, batch_size: int) -> NestedLSTMState:
        return NestedLSTMState(*(self.zeros(batch_size, self.hidden_size) for _ in range(3)))

    def update(self, projected: Tensor, state: NestedLSTMState) -> tuple[Tensor, NestedLSTMState]:
        i, f, g, o = _gates(projected + self.recurrent(state.hidden))
        inner_x = F.linear(i * g, self.weight_inner_ih, self.bias_inner)
        inner_i, inner_f, inner_g, inner_o = _gates(inner_x + F.linear(f * state.cell, self.weight_inner_hh))
        self.observe(i=i, f=f, g=g, o=o, inner_i=inner_i, inner_f=inner_f, inner_g=inner_g, inner_o=inner_o)
        inner = inner_f * state.inner + inner_i * inner_g
        cell = inner_o * torch.tanh(inner)
        hidden = o * torch.tanh(cell)
        return hidden, NestedLSTMState(hidden, cell, inner)


def _gates(sums: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    i, f, g, o = sums.chunk(4, dim=-1)
    return torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), torch.sigmoid(o)
