"""Clockwork network (Koutník et al., 2014)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from echoic.cells.base import Cell
from echoic.errors import OptionError


class ClockworkState(NamedTuple):
    """hidden: [B, H]; count: [B, 1], the steps since all modules last ran together."""

    hidden: Tensor
    count: Tensor


class Clockwork(Cell):
    """A simple recurrent network in modules, of which the k-th runs every 2^k-th step and keeps its state between.

    A module sees itself and the slower ones; what lies left of a module's own columns in ``weight_hh`` is not used.

    Args:
        input_size: features of an input, I.
        hidden_size: features of the state, H, shared out to the modules as evenly as can be.
        clocks: K, how many modules there are; 4 run every 1, 2, 4 and 8 steps.

    Raises:
        OptionError: no clock, more clocks than units, or more than 20.
    """

    equations = """
        a_k = tanh(W_ih x + b_ih + sum over modules j >= k of W_kj h_j + b_hh)
        h'_k = a_k where t mod 2^k = 0, h_k elsewhere
        t' = (t + 1) mod 2^(K - 1)
    """
    variants = ({}, {"clocks": 2})
    unzoned = ("count",)

    periods: Tensor  # [H]

    def __init__(self, input_size: int, hidden_size: int, clocks: int = 3) -> None:
        super().__init__(input_size, hidden_size)
        if not 1 <= clocks <= min(hidden_size, 20):
            raise OptionError(f"clocks: found {clocks}, expected 1 to {min(hidden_size, 20)}.")
        self.clocks = clocks
        self.starts = [-(-clock * hidden_size // clocks) for clock in range(clocks + 1)]
        clock_of = torch.arange(hidden_size) * clocks // hidden_size
        self.register_buffer("periods", torch.exp2(clock_of.float()), persistent=False)
        self.make_weights(1)
        self.reset_parameters()

    @classmethod
    def nearest_sizes(cls, input_size: int, hidden_size: int, **options: Any) -> tuple[int, int]:
        return input_size, max(hidden_size, options.get("clocks", 3))

    def initial_state(self, batch_size: int) -> ClockworkState:
        return ClockworkState(self.zeros(batch_size, self.hidden_size), self.zeros(batch_size, 1))

    def recurrent(self, hidden: Tensor) -> Tensor:
        sums = [
            F.linear(hidden[:, start:], self.weight_hh[start:end, start:])
            for start, end in zip(self.starts[:-1], self.starts[1:], strict=True)
        ]
        return torch.cat(sums, dim=-1) + self.bias_hh

    def update(self, projected: Tensor, state: ClockworkState) -> tuple[Tensor, ClockworkState]:
        new = torch.tanh(projected + self.recurrent(state.hidden))
        middle = state.count + 0.5  # whole counts then lie as far as can be from where a period begins
        phase = middle - self.periods * torch.floor(middle / self.periods)
        hidden = torch.where(phase < 1, new, state.hidden)
        longest = 2.0 ** (self.clocks - 1)
        count = state.count + 1 - longest * torch.floor((middle + 1) / longest)
        return hidden, ClockworkState(hidden, count)
