"""Minimal gated unit (Zhou et al., 2016)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from echoic.cells.base import Cell


class MGUState(NamedTuple):
    """hidden: [B, H]."""

    hidden: Tensor


class MGU(Cell):
    """A GRU whose two gates are one, the forget gate. Gate blocks of the weights are ordered f, n.

    Args:
        input_size: features of an input, I.
        hidden_size: features of the state, H.
    """

    equations = """
        f = sigmoid(W_if x + b_if + W_hf h + b_hf)
        n = tanh(W_in x + b_in + W_hn (f * h) + b_hn)
        h' = (1 - f) * h + f * n
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.make_weights(2)
        self.reset_parameters()

    def initial_state(self, batch_size: int) -> MGUState:
        return MGUState(self.zeros(batch_size, self.hidden_size))

    def update(self, projected: Tensor, state: MGUState) -> tuple[Tensor, MGUState]:
        forget_x, new_x = projected.chunk(2, dim=-1)
        forget, new = slice(self.hidden_size), slice(self.hidden_size, None)
        f = torch.sigmoid(forget_x + F.linear(state.hidden, self.weight_hh[forget], self.bias_hh[forget]))
        n = torch.tanh(new_x + F.linear(f * state.hidden, self.weight_hh[new], self.bias_hh[new]))
        self.observe(f=f, n=n)
        hidden = state.hidden + f * (n - state.hidden)
        return hidden, MGUState(hidden)
