"""Selective state space: the recurrence of Mamba (Gu and Dao, 2023), a linear one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoic.cells.linear import Decay, LinearCell
from echoic.errors import OptionError


class SelectiveSSMState(NamedTuple):
    """hidden: [B, H], the output, which does not recur; memory: [B, H * N], of each feature N numbers."""

    hidden: Tensor
    memory: Tensor


class SelectiveSSM(LinearCell):
    """For each feature several memories that decay at rates of their own. How far time goes on, what is written and
    what is read the input says.

    Blocks of the weights are ordered u, d, each of H rows, then b and c, each of N.

    Args:
        input_size: features of an input, I.
        hidden_size: features of the output, H.
        states: memories of a feature, N.

    Raises:
        OptionError: fewer than one memory.
    """

    equations = """
        u, d, b, c = W x + b_w                                        [d: how far time goes on]
        s' = exp(-softplus(d) e^A) * s + softplus(d) * u b^T          [s, A: H by N; a column for each entry of b]
        h' = s' c + D * u
    """
    variants = ({}, {"states": 3})
    unzoned = ("memory",)

    def __init__(self, input_size: int, hidden_size: int, states: int = 16) -> None:
        super().__init__(input_size, hidden_size)
        if states < 1:
            raise OptionError(f"states: found {states}, expected at least 1.")
        self.states = states
        self.make_input_weights(2 * hidden_size + 2 * states)
        self.log_rates = nn.Parameter(torch.empty(hidden_size, states))
        self.skip = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform within 1/sqrt(I); rates 1 to N, steps of time spread from 0.001 to 0.1, as the paper has them."""
        super().reset_parameters()
        with torch.no_grad():
            self.log_rates.copy_(torch.arange(1, self.states + 1).log().expand_as(self.log_rates))
            self.skip.fill_(1)
            steps = torch.linspace(math.log(0.001), math.log(0.1), self.hidden_size).exp()
            self.bias_ih[self.hidden_size : 2 * self.hidden_size] = torch.log(torch.expm1(steps))

    def initial_state(self, batch_size: int) -> SelectiveSSMState:
        size = self.hidden_size
        return SelectiveSSMState(self.zeros(batch_size, size), self.zeros(batch_size, size * self.states))

    def _parts(self, projected: Tensor) -> tuple[Tensor, ...]:
        return projected.split([self.hidden_size, self.hidden_size, self.states, self.states], dim=-1)

    def coefficients(self, projected: Tensor) -> tuple[Decay]:
        given, sum_d, written, _ = self._parts(projected)
        step = F.softplus(sum_d)
        self.observe(step=step)
        decay = torch.exp(-step.unsqueeze(-1) * torch.exp(self.log_rates))
        drive = (step * given).unsqueeze(-1) * written.unsqueeze(-2)
        return (Decay(decay.flatten(-2), drive.flatten(-2)),)

    def read_out(self, projected: Tensor, memory: Sequence[Tensor]) -> Tensor:
        given, _, _, read = self._parts(projected)
        every = memory[0].unflatten(-1, (self.hidden_size, self.states)) * read.unsqueeze(-2)
        return every.sum(-1) + self.skip * given
