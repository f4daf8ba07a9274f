"""Recurrence through the output (Jordan, 1986)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoic.cells.base import Cell
from echoic.cells.elman import NONLINEARITIES
from echoic.errors import OptionError

OUTPUTS: dict[str, Callable[[Tensor], Tensor]] = {**NONLINEARITIES, "identity": lambda value: value}


class JordanState(NamedTuple):
    """output: [B, O], the output of the step before, which is all that recurs."""

    output: Tensor


class Jordan(Cell):
    """The Jordan network: hidden units see the input and the *output* of the step before.

    Args:
        input_size: features of an input, I.
        hidden_size: hidden units, H.
        output_size: features of the output, O; ``hidden_size`` if None.
        nonlinearity: of the hidden units: "tanh", "relu" or "sigmoid".
        output_nonlinearity: of the output: the same, or "identity".
    """

    equations = """
        h  = f(W_ih x + b_ih + W_hh y + b_hh)
        y' = g(W_hy h + b_hy)
    """
    variants = ({}, {"output_size": 3, "nonlinearity": "sigmoid", "output_nonlinearity": "identity"})

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None = None,
        nonlinearity: str = "tanh",
        output_nonlinearity: str = "tanh",
    ) -> None:
        super().__init__(input_size, hidden_size, output_size)
        chosen = {"nonlinearity": (nonlinearity, NONLINEARITIES), "output_nonlinearity": (output_nonlinearity, OUTPUTS)}
        for option, (name, known) in chosen.items():
            if name not in known:
                raise OptionError(f'{option}: found "{name}", expected one of {", ".join(known)}.')
        self.nonlinearity, self.output_nonlinearity = nonlinearity, output_nonlinearity
        self.make_weights(1)
        self.weight_hy = nn.Parameter(torch.empty(self.output_size, hidden_size))
        self.bias_hy = nn.Parameter(torch.empty(self.output_size))
        self.reset_parameters()

    def initial_state(self, batch_size: int) -> JordanState:
        return JordanState(self.zeros(batch_size, self.output_size))

    def update(self, projected: Tensor, state: JordanState) -> tuple[Tensor, JordanState]:
        hidden = NONLINEARITIES[self.nonlinearity](projected + self.recurrent(state.output))
        output = OUTPUTS[self.output_nonlinearity](F.linear(hidden, self.weight_hy, self.bias_hy))
        self.observe(hidden=hidden)
        return output, JordanState(output)
