"""LSTM with exponential gates and a stabiliser: sLSTM of xLSTM (Beck et al., 2024)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoic.cells.base import Cell
from echoic.errors import OptionError


class SLSTMState(NamedTuple):
    """hidden, cell, normaliser, stabiliser: [B, H] each; cell and normaliser are to be thought times e^stabiliser."""

    hidden: Tensor
    cell: Tensor
    normaliser: Tensor
    stabiliser: Tensor


class SLSTM(Cell):
    """An LSTM that can revise what it keeps: input gates without bound, and a cell divided by what its gates add up to.

    The stabiliser holds the largest exponent so that no exponential overflows; it changes no output. Gate blocks of
    the weights are ordered i, f, g, o; rows of ``weight_hh`` head after head, four gates within each.

    Args:
        input_size: features of an input, I.
        hidden_size: features of each part of the state, H.
        heads: groups of units, each of which sees only its own hidden state.
        exponential_forget: the forget gate is exp (True) or sigmoid, which the paper allows as well.

    Raises:
        OptionError: a hidden size that is no multiple of the heads.
    """

    equations = """
        i, f, g, o = W_i x + b_i + W_h h + b_h                        [W_h: blocks on the diagonal, one for each head]
        k = m + log(sigmoid(f))                                       [exponential: k = m + f]
        m' = max(k, i), at the first step i
        c' = exp(k - m') * c + exp(i - m') * tanh(g)
        n' = exp(k - m') * n + exp(i - m')
        h' = sigmoid(o) * c' / n'
    """
    variants = ({}, {"exponential_forget": True}, {"heads": 2})
    unzoned = ("cell", "normaliser", "stabiliser")

    def __init__(self, input_size: int, hidden_size: int, heads: int = 1, exponential_forget: bool = False) -> None:
        super().__init__(input_size, hidden_size)
        if heads < 1 or hidden_size % heads:
            raise OptionError(f"heads: found {heads}, expected a divisor of hidden_size {hidden_size}.")
        self.heads, self.exponential_forget = heads, exponential_forget
        self.make_weights(4, recurrent_size=hidden_size // heads)
        self.reset_parameters()

    @classmethod
    def nearest_sizes(cls, input_size: int, hidden_size: int, **options: Any) -> tuple[int, int]:
        return input_size, hidden_size + -hidden_size % options.get("heads", 1)

    def reset_parameters(self) -> None:
        """Uniform within 1/sqrt(H); the forget gates' biases spread from 3 to 6 over the units, the others zero."""
        super().reset_parameters()
        nn.init.zeros_(self.bias_ih)
        nn.init.zeros_(self.bias_hh)
        with torch.no_grad():
            self.bias_ih[self.hidden_size : 2 * self.hidden_size] = torch.linspace(3, 6, self.hidden_size)

    def initial_state(self, batch_size: int) -> SLSTMState:
        return SLSTMState(*(self.zeros(batch_size, self.hidden_size) for _ in range(4)))

    def recurrent(self, hidden: Tensor) -> Tensor:
        if self.heads == 1:
            return super().recurrent(hidden)
        by_head = zip(hidden.chunk(self.heads, dim=-1), self.weight_hh.chunk(self.heads), strict=True)
        gates_of_heads = [F.linear(own, weight).chunk(4, dim=-1) for own, weight in by_head]
        gates = [part for gate in zip(*gates_of_heads, strict=True) for part in gate]
        return torch.cat(gates, dim=-1) + self.bias_hh

    def update(self, projected: Tensor, state: SLSTMState) -> tuple[Tensor, SLSTMState]:
        log_i, sum_f, sum_g, sum_o = (projected + self.recurrent(state.hidden)).chunk(4, dim=-1)
        kept = state.stabiliser + (sum_f if self.exponential_forget else -F.softplus(-sum_f))
        # Where nothing is kept yet, the input alone sets the scale: else its exponential could vanish, and 0 / 0 follow
        stabiliser = torch.where(state.normaliser > 0, torch.maximum(kept, log_i), log_i)
        i = torch.exp(log_i - stabiliser)
        f = torch.exp(torch.clamp(kept - stabiliser, max=0))
        self.observe(i=i, f=f, g=torch.tanh(sum_g), o=torch.sigmoid(sum_o))
        cell = f * state.cell + i * torch.tanh(sum_g)
        normaliser = f * state.normaliser + i
        # One of the two exponentials is always 1, so the normaliser of a run never lies below 1
        hidden = torch.sigmoid(sum_o) * cell / torch.clamp(normaliser, min=1)
        return hidden, SLSTMState(hidden, cell, normaliser, stabiliser)
