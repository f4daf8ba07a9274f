"""Minimal gated recurrent unit (Feng et al., 2024, "Were RNNs all we needed?")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from echoic.cells.linear import Decay, LinearCell, positive


class MinGRUState(NamedTuple):
    """hidden: [B, H]."""

    hidden: Tensor


class MinGRU(LinearCell):
    """A GRU whose gate and candidate see the input alone. Blocks of the weights are ordered z, n.

    Args:
        input_size: features of an input, I.
        hidden_size: features of the state, H.
        positive: the candidate is kept positive, as in the paper's form in logarithms.
        update_bias: bias of the update gate at the start; below zero a unit keeps its state for longer.
    """

    equations = """
        z = sigmoid(W_z x + b_z)
        n = W_n x + b_n                  [positive: n = g(W_n x + b_n), g(v) = v + 1/2 if v >= 0 else sigmoid(v)]
        h' = (1 - z) * h + z * n
    """
    variants = ({}, {"positive": True})

    def __init__(self, input_size: int, hidden_size: int, positive: bool = False, update_bias: float = -1.0) -> None:
        super().__init__(input_size, hidden_size)
        self.positive, self.update_bias = positive, update_bias
        self.make_input_weights(2 * hidden_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform within 1/sqrt(I) but for the update gate's bias."""
        super().reset_parameters()
        self.set_bias(0, self.update_bias)

    def initial_state(self, batch_size: int) -> MinGRUState:
        return MinGRUState(self.zeros(batch_size, self.hidden_size))

    def coefficients(self, projected: Tensor) -> tuple[Decay]:
        sum_z, sum_n = projected.chunk(2, dim=-1)
        z = torch.sigmoid(sum_z)
        n = positive(sum_n) if self.positive else sum_n
        self.observe(z=z, n=n)
        return (Decay(1 - z, z * n),)

    def read_out(self, projected: Tensor, memory: Sequence[Tensor]) -> Tensor:
        return memory[0]
