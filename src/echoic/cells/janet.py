"""Just another network: an LSTM with nothing but the forget gate (van der Westhuizen and Lasenby, 2018)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from echoic.cells.base import Cell
from echoic.errors import OptionError


class JANETState(NamedTuple):
    """hidden: [B, H]."""

    hidden: Tensor


class JANET(Cell):
    """One forget gate decides what is kept and what is added. Gate blocks of the weights are ordered f, g.

    Args:
        input_size: features of an input, I.
        hidden_size: features of the state, H.
        beta: how much more is added than forgotten: the input gate is 1 - sigmoid(s - beta).
        memory_steps: longest dependency to expect; the forget gate's biases begin as the logarithms of numbers drawn
            between 1 and memory_steps - 1 (Tallec and Ollivier, 2018).

    Raises:
        OptionError: memory_steps below 3.
    """

    equations = """
        s = W_if x + b_if + W_hf h + b_hf
        g = tanh(W_ig x + b_ig + W_hg h + b_hg)
        h' = sigmoid(s) * h + (1 - sigmoid(s - beta)) * g
    """
    variants = ({}, {"beta": 0.0})

    def __init__(self, input_size: int, hidden_size: int, beta: float = 1.0, memory_steps: int = 100) -> None:
        super().__init__(input_size, hidden_size)
        if memory_steps < 3:
            raise OptionError(f"memory_steps: found {memory_steps}, expected at least 3.")
        self.beta, self.memory_steps = beta, memory_steps
        self.make_weights(2)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As published: Glorot's inputs' weights, orthogonal recurrent ones, chrono-initialised forget gate."""
        for weight_ih, weight_hh in zip(self.weight_ih.chunk(2), self.weight_hh.chunk(2), strict=True):
            nn.init.xavier_uniform_(weight_ih)
            nn.init.orthogonal_(weight_hh)
        nn.init.zeros_(self.bias_ih)
        nn.init.zeros_(self.bias_hh)
        with torch.no_grad():
            self.bias_ih[: self.hidden_size].uniform_(1, self.memory_steps - 1).log_()

    def initial_state(self, batch_size: int) -> JANETState:
        return JANETState(self.zeros(batch_size, self.hidden_size))

    def update(self, projected: Tensor, state: JANETState) -> tuple[Tensor, JANETState]:
        sum_f, sum_g = (projected + self.recurrent(state.hidden)).chunk(2, dim=-1)
        f, i = torch.sigmoid(sum_f), torch.sigmoid(self.beta - sum_f)
        g = torch.tanh(sum_g)
        self.observe(f=f, i=i, g=g)
        hidden = f * state.hidden + i * g
        return hidden, JANETState(hidden)
