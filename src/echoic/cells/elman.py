"""Simple recurrent network (Elman, 1990)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from echoic.cells.base import Cell
from echoic.errors import OptionError

NONLINEARITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
}


class ElmanState(NamedTuple):
    """hidden: [B, H]."""

    hidden: Tensor


class Elman(Cell):
    """The simple recurrent network: the hidden state is a function of the input and of itself one step before.

    Args:
        input_size: features of an input, I.
        hidden_size: features of the state, H.
        nonlinearity: "tanh", "relu" or "sigmoid".
    """

    equations = "h' = f(W_ih x + b_ih + W_hh h + b_hh),  f = tanh, relu or sigmoid"
    variants = ({}, {"nonlinearity": "relu"}, {"nonlinearity": "sigmoid"})

    def __init__(self, input_size: int, hidden_size: int, nonlinearity: str = "tanh") -> None:
        super().__init__(input_size, hidden_size)
        if nonlinearity not in NONLINEARITIES:
            raise OptionError(f'nonlinearity: found "{nonlinearity}", expected one of {", ".join(NONLINEARITIES)}.')
        self.nonlinearity = nonlinearity
        self.make_weights(1)
        self.reset_parameters()

    def initial_state(self, batch_size: int) -> ElmanState:
        return ElmanState(self.zeros(batch_size, self.hidden_size))

    def update(self, projected: Tensor, state: ElmanState) -> tuple[Tensor, ElmanState]:
        hidden = NONLINEARITIES[self.nonlinearity](projected + self.recurrent(state.hidden))
        return hidden, ElmanState(hidden)
