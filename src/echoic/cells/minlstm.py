"""Minimal long short-term memory (Feng et al., 2024, "Were RNNs all we needed?")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from echoic.cells.linear import Decay, LinearCell, positive


class MinLSTMState(NamedTuple):
    """hidden: [B, H]."""

    hidden: Tensor


class MinLSTM(LinearCell):
    """An LSTM whose gates see the input alone and add up to one. Blocks of the weights are ordered i, f, g.

    Args:
        input_size: features of an input, I.
        hidden_size: features of the state, H.
        positive: the candidate is kept positive, as in the paper's form in logarithms.
        forget_bias: bias of the forget gate at the start; above zero a unit keeps its state for longer.
    """

    equations = """
        i = sigmoid(W_i x + b_i)
        f = sigmoid(W_f x + b_f)
        g = W_g x + b_g                  [positive: g = p(W_g x + b_g), p(v) = v + 1/2 if v >= 0 else sigmoid(v)]
        h' = f / (f + i) * h + i / (f + i) * g
    """
    variants = ({}, {"positive": True})

    def __init__(self, input_size: int, hidden_size: int, positive: bool = False, forget_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size)
        self.positive, self.forget_bias = positive, forget_bias
        self.make_input_weights(3 * hidden_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform within 1/sqrt(I) but for the forget gate's bias."""
        super().reset_parameters()
        self.set_bias(1, self.forget_bias)

    def initial_state(self, batch_size: int) -> MinLSTMState:
        return MinLSTMState(self.zeros(batch_size, self.hidden_size))

    def coefficients(self, projected: Tensor) -> tuple[Decay]:
        sum_i, sum_f, sum_g = projected.chunk(3, dim=-1)
        # f / (f + i) = sigmoid(ln f - ln i): no 0 / 0 where both gates are shut to the last bit
        f = torch.sigmoid(F.softplus(-sum_i) - F.softplus(-sum_f))
        g = positive(sum_g) if self.positive else sum_g
        self.observe(i=1 - f, f=f, g=g)
        return (Decay(f, (1 - f) * g),)

    def read_out(self, projected: Tensor, memory: Sequence[Tensor]) -> Tensor:
        return memory[0]
