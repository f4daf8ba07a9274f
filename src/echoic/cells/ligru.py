"""Light gated recurrent unit (Ravanelli et al., 2018)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from echoic.cells.base import Cell


class LiGRUState(NamedTuple):
    """hidden: [B, H]."""

    hidden: Tensor


class LiGRU(Cell):
    """A GRU without reset gate and with ReLU units. Gate blocks of the weights are ordered z, n.

    The published cell normalises the inputs' sums over the batch; here each row is normalised over its features, so
    that no row depends on another and single steps can be streamed.

    Args:
        input_size: features of an input, I.
        hidden_size: features of the state, H.
        layer_norm: normalise the inputs' sums (Ba et al., 2016); ReLU units may grow without bound if not.
    """

    equations = """
        z = sigmoid(norm(W_iz x + b_iz) + W_hz h + b_hz)
        n = relu(norm(W_in x + b_in) + W_hn h + b_hn)
        h' = z * h + (1 - z) * n
    """
    variants = ({}, {"layer_norm": False})

    def __init__(self, input_size: int, hidden_size: int, layer_norm: bool = True) -> None:
        super().__init__(input_size, hidden_size)
        self.layer_norm = layer_norm
        self.make_weights(2)
        if layer_norm:
            self.norm_ih = nn.LayerNorm(2 * hidden_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As published: Glorot's inputs' weights, orthogonal recurrent weights, biases of zero."""
        for weight_ih, weight_hh in zip(self.weight_ih.chunk(2), self.weight_hh.chunk(2), strict=True):
            nn.init.xavier_uniform_(weight_ih)
            nn.init.orthogonal_(weight_hh)
        nn.init.zeros_(self.bias_ih)
        nn.init.zeros_(self.bias_hh)
        if self.layer_norm:
            self.norm_ih.reset_parameters()

    def initial_state(self, batch_size: int) -> LiGRUState:
        return LiGRUState(self.zeros(batch_size, self.hidden_size))

    def project(self, inputs: Tensor) -> Tensor:
        projected = super().project(inputs)
        return self.norm_ih(projected) if self.layer_norm else projected

    def update(self, projected: Tensor, state: LiGRUState) -> tuple[Tensor, LiGRUState]:
        sum_z, sum_n = (projected + self.recurrent(state.hidden)).chunk(2, dim=-1)
        z = torch.sigmoid(sum_z)
        n = torch.relu(sum_n)
        self.observe(z=z, n=n)
        hidden = z * state.hidden + (1 - z) * n
        return hidden, LiGRUState(hidden)
