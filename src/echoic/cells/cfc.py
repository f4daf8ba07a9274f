"""Closed-form continuous-time network (Hasani et al., 2022)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoic.cells.base import Cell
from echoic.errors import OptionError


class CfCState(NamedTuple):
    """hidden: [B, H]."""

    hidden: Tensor


class CfC(Cell):
    """The solution of a liquid network in closed form: the state moves from one curve to another as time passes.

    Blocks of ``weight_head`` are ordered f, g (the curves), a, b (pace and phase of the passage).

    Args:
        input_size: features of an input, and the elapsed time if ``timed``, I.
        hidden_size: features of the state, H.
        backbone_size: features of the layer that the four heads share; ``hidden_size`` if None.
        timed: the last feature of an input is the time since the step before, which is 1 otherwise.

    Raises:
        OptionError: a backbone below 1; no feature beside the elapsed time.
    """

    equations = """
        u = 1.7159 tanh(0.666 (W_ih x + b_ih + W_hh h + b_hh))
        f = tanh(W_f u + b_f),  g = tanh(W_g u + b_g)
        s = sigmoid((W_a u + b_a) * dt + W_b u + b_b)                 [dt = 1 unless timed]
        h' = (1 - s) * f + s * g
    """
    variants = ({}, {"timed": True}, {"backbone_size": 5})

    def __init__(
        self, input_size: int, hidden_size: int, backbone_size: int | None = None, timed: bool = False
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.backbone_size, self.timed = hidden_size if backbone_size is None else backbone_size, timed
        if self.backbone_size < 1:
            raise OptionError(f"backbone_size: found {backbone_size}, expected at least 1.")
        if timed and input_size < 2:
            raise OptionError(
                f"CfC, timed: found input_size {input_size}, expected at least 2: a feature and the elapsed time."
            )
        if timed:
            self.input_layout = "features, time since the step before (1)"
        self.features = input_size - timed
        self.weight_ih = nn.Parameter(torch.empty(self.backbone_size, self.features))
        self.weight_hh = nn.Parameter(torch.empty(self.backbone_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(self.backbone_size))
        self.bias_hh = nn.Parameter(torch.empty(self.backbone_size))
        self.weight_head = nn.Parameter(torch.empty(4 * hidden_size, self.backbone_size))
        self.bias_head = nn.Parameter(torch.empty(4 * hidden_size))
        self.reset_parameters()

    @classmethod
    def nearest_sizes(cls, input_size: int, hidden_size: int, **options: Any) -> tuple[int, int]:
        return max(input_size, 2) if options.get("timed") else input_size, hidden_size

    def reset_parameters(self) -> None:
        """As published: Glorot's weights, biases of zero."""
        for name, parameter in self.named_parameters():
            if name.startswith("weight"):
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)

    def initial_state(self, batch_size: int) -> CfCState:
        return CfCState(self.zeros(batch_size, self.hidden_size))

    def project(self, inputs: Tensor) -> Tensor:
        if not self.timed:
            return super().project(inputs)
        features, elapsed = inputs.split([self.features, 1], dim=-1)
        return torch.cat([super().project(features), elapsed], dim=-1)

    def update(self, projected: Tensor, state: CfCState) -> tuple[Tensor, CfCState]:
        elapsed = None
        if self.timed:
            projected, elapsed = projected.split([self.backbone_size, 1], dim=-1)
        shared = 1.7159 * torch.tanh(0.666 * (projected + self.recurrent(state.hidden)))
        f, g, pace, phase = F.linear(shared, self.weight_head, self.bias_head).chunk(4, dim=-1)
        if elapsed is not None:
            pace = pace * elapsed
        passed = torch.sigmoid(pace + phase)
        self.observe(passed=passed)
        hidden = (1 - passed) * torch.tanh(f) + passed * torch.tanh(g)
        return hidden, CfCState(hidden)
