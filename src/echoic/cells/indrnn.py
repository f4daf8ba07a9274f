"""Independently recurrent network (Li et al., 2018)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from echoic.cells.base import Cell
from echoic.cells.elman import NONLINEARITIES
from echoic.errors import OptionError


class IndRNNState(NamedTuple):
    """hidden: [B, H]."""

    hidden: Tensor


class IndRNN(Cell):
    """A simple recurrent network whose units see only themselves: the recurrent weights are a vector [H].

    Units exchange what they know in the layer above, so it is used in stacks.

    Args:
        input_size: features of an input, I.
        hidden_size: features of the state, H.
        nonlinearity: "relu", as published, "tanh" or "sigmoid".
        memory_steps: steps T over which a unit shall neither explode nor be forced to forget: its recurrent weight
            begins between 0 and 2^(1/T).

    Raises:
        OptionError: an unknown nonlinearity; fewer steps than one.
    """

    equations = "h' = f(W_ih x + b_ih + w_hh * h),  f = relu, tanh or sigmoid"
    variants = ({}, {"nonlinearity": "tanh"})

    def __init__(self, input_size: int, hidden_size: int, nonlinearity: str = "relu", memory_steps: int = 100) -> None:
        super().__init__(input_size, hidden_size)
        if nonlinearity not in NONLINEARITIES:
            raise OptionError(f'nonlinearity: found "{nonlinearity}", expected one of {", ".join(NONLINEARITIES)}.')
        if memory_steps < 1:
            raise OptionError(f"memory_steps: found {memory_steps}, expected at least 1.")
        self.nonlinearity, self.memory_steps = nonlinearity, memory_steps
        self.weight_ih = nn.Parameter(torch.empty(hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The recurrent weights uniform in [0, 2^(1/T)], the others within 1/sqrt(H)."""
        super().reset_parameters()
        nn.init.uniform_(self.weight_hh, 0, 2 ** (1 / self.memory_steps))

    def initial_state(self, batch_size: int) -> IndRNNState:
        return IndRNNState(self.zeros(batch_size, self.hidden_size))

    def recurrent(self, hidden: Tensor) -> Tensor:
        return self.weight_hh * hidden

    def update(self, projected: Tensor, state: IndRNNState) -> tuple[Tensor, IndRNNState]:
        hidden = NONLINEARITIES[self.nonlinearity](projected + self.recurrent(state.hidden))
        return hidden, IndRNNState(hidden)
