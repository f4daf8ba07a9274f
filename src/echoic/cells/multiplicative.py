"""Multiplicative LSTM (Krause et al., 2017)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoic.cells.base import Cell


class MultiplicativeLSTMState(NamedTuple):
    """hidden: [B, H]; cell: [B, H]."""

    hidden: Tensor
    cell: Tensor


class MultiplicativeLSTM(Cell):
    """An LSTM whose gates see m, the product of input and state, instead of the state.

    So every input has a recurrent matrix of its own. Gate blocks are ordered i, f, g, o, in ``weight_ih`` then m.

    Args:
        input_size: features of an input, I.
        hidden_size: features of the state and of m, H.
    """

    equations = """
        m = (W_im x) * (W_hm h)
        i = sigmoid(W_ii x + b_ii + W_mi m)
        f = sigmoid(W_if x + b_if + W_mf m)
        g = tanh(W_ig x + b_ig + W_mg m)
        o = sigmoid(W_io x + b_io + W_mo m)
        c' = f * c + i * g
        h' = o * tanh(c')
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.weight_ih = nn.Parameter(torch.empty(5 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size, hidden_size))
        self.weight_mh = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(4 * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform within 1/sqrt(H), and a forget gate that begins open (bias 1)."""
        super().reset_parameters()
        with torch.no_grad():
            self.bias_ih[self.hidden_size : 2 * self.hidden_size] = 1

    def initial_state(self, batch_size: int) -> MultiplicativeLSTMState:
        return MultiplicativeLSTMState(
            self.zeros(batch_size, self.hidden_size), self.zeros(batch_size, self.hidden_size)
        )

    def project(self, inputs: Tensor) -> Tensor:
        gates = 4 * self.hidden_size
        sums = F.linear(inputs, self.weight_ih[:gates], self.bias_ih)
        return torch.cat([sums, F.linear(inputs, self.weight_ih[gates:])], dim=-1)

    def recurrent(self, hidden: Tensor) -> Tensor:
        return F.linear(hidden, self.weight_hh)

    def update(self, projected: Tensor, state: MultiplicativeLSTMState) -> tuple[Tensor, MultiplicativeLSTMState]:
        gates_x, m_x = projected.split([4 * self.hidden_size, self.hidden_size], dim=-1)
        m = m_x * self.recurrent(state.hidden)
        sum_i, sum_f, sum_g, sum_o = (gates_x + F.linear(m, self.weight_mh)).chunk(4, dim=-1)
        i, f, o = torch.sigmoid(sum_i), torch.sigmoid(sum_f), torch.sigmoid(sum_o)
        g = torch.tanh(sum_g)
        self.observe(m=m, i=i, f=f, g=g, o=o)
        cell = f * state.cell + i * g
        hidden = o * torch.tanh(cell)
        return hidden, MultiplicativeLSTMState(hidden, cell)
