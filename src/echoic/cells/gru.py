"""Gated recurrent unit (Cho et al., 2014), reset after the matmul as in PyTorch and cuDNN, or before as published."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from echoic.cells.base import Cell


class GRUState(NamedTuple):
    """hidden: [B, H]."""

    hidden: Tensor


class GRU(Cell):
    """One GRU step. Gate blocks of the weights are ordered r, z, n.

    Args:
        input_size: features of an input, I.
        hidden_size: features of the state, H.
        reset_after: the reset gate acts on W_hn h (True) or on h before the matmul (False).
    """

    equations = """
        r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)
        z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
        n = tanh(W_in x + b_in + r * (W_hn h + b_hn))      [reset before: W_hn (r * h) + b_hn]
        h' = (1 - z) * n + z * h
    """
    variants = ({}, {"reset_after": False})

    def __init__(self, input_size: int, hidden_size: int, reset_after: bool = True) -> None:
        super().__init__(input_size, hidden_size)
        self.reset_after = reset_after
        self.make_weights(3)
        self.reset_parameters()

    def initial_state(self, batch_size: int) -> GRUState:
        return GRUState(self.zeros(batch_size, self.hidden_size))

    def update(self, projected: Tensor, state: GRUState) -> tuple[Tensor, GRUState]:
        reset_x, update_x, new_x = projected.chunk(3, dim=-1)
        if self.reset_after:
            reset_h, update_h, new_h = self.recurrent(state.hidden).chunk(3, dim=-1)
            r = torch.sigmoid(reset_x + reset_h)
            new_h = r * new_h
        else:
            gates, new = 2 * self.hidden_size, slice(2 * self.hidden_size, None)
            sums = F.linear(state.hidden, self.weight_hh[:gates], self.bias_hh[:gates])
            reset_h, update_h = sums.chunk(2, dim=-1)
            r = torch.sigmoid(reset_x + reset_h)
            new_h = F.linear(r * state.hidden, self.weight_hh[new], self.bias_hh[new])
        z = torch.sigmoid(update_x + update_h)
        n = torch.tanh(new_x + new_h)
        self.observe(r=r, z=z, n=n)
        hidden = n + z * (state.hidden - n)  # as written above, with an operation less; both are at most 1
        return hidden, GRUState(hidden)
