"""Fast weights that are written by the delta rule: DeltaNet (Schlag, Irie and Schmidhuber, 2021), and with a gate Gated
DeltaNet (Yang, Kautz and Hatamizadeh, 2025)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoic.cells.base import Cell
from echoic.errors import OptionError


class DeltaNetState(NamedTuple):
    """hidden: [B, H], the output, which does not recur.

    weights: [B, H * H / heads], a matrix of each head, values by keys.
    """

    hidden: Tensor
    weights: Tensor


class DeltaNet(Cell):
    """A network whose weights a slower one writes, step by step, so that they give the value v for the key k.

    What they gave before is subtracted, in the share b: a key that comes again is told anew, and does not add up.
    Blocks of the weights are ordered q, k, v, each head after head, then b, and a if it is gated, one row a head.

    Args:
        input_size: features of an input, I.
        hidden_size: features of the output, H.
        heads: matrices of their own, each for H / heads values and keys.
        gated: whether all weights decay, by as much as the input says.

    Raises:
        OptionError: a hidden size that is no multiple of the heads.
    """

    equations = """
        q, k, v, b = W x + b_w;  q, k of length 1 in each head
        S* = S                                                        [gated: S* = sigmoid(a) * S, a as b]
        S' = S* + sigmoid(b) * (v - S* k) k^T
        h' = S' q
    """
    variants = ({}, {"heads": 1, "gated": True})
    unzoned = ("weights",)

    def __init__(self, input_size: int, hidden_size: int, heads: int = 4, gated: bool = False) -> None:
        super().__init__(input_size, hidden_size)
        if heads < 1 or hidden_size % heads:
            raise OptionError(f"heads: found {heads}, expected a divisor of hidden_size {hidden_size}.")
        self.heads, self.width, self.gated = heads, hidden_size // heads, gated
        rows = 3 * hidden_size + (2 if gated else 1) * heads
        self.weight_ih, self.bias_ih = nn.Parameter(torch.empty(rows, input_size)), nn.Parameter(torch.empty(rows))
        self.reset_parameters()

    @classmethod
    def nearest_sizes(cls, input_size: int, hidden_size: int, **options: Any) -> tuple[int, int]:
        return input_size, hidden_size + -hidden_size % options.get("heads", 4)

    def reset_parameters(self) -> None:
        """Uniform within 1/sqrt(H); the biases of the decays spread from 3 to 6 over the heads, the others zero."""
        super().reset_parameters()
        nn.init.zeros_(self.bias_ih)
        if self.gated:
            with torch.no_grad():
                self.bias_ih[-self.heads :] = torch.linspace(3, 6, self.heads)

    def initial_state(self, batch_size: int) -> DeltaNetState:
        size = self.hidden_size
        return DeltaNetState(self.zeros(batch_size, size), self.zeros(batch_size, size * self.width))

    def update(self, projected: Tensor, state: DeltaNetState) -> tuple[Tensor, DeltaNetState]:
        of_units, of_heads = projected.split([3 * self.hidden_size, len(self.bias_ih) - 3 * self.hidden_size], dim=-1)
        query, key, value = of_units.unflatten(-1, (3, self.heads, self.width)).unbind(1)
        query, key = F.normalize(query, dim=-1), F.normalize(key, dim=-1)
        share, *decay = torch.sigmoid(of_heads).unsqueeze(-1).split(self.heads, dim=1)
        self.observe(b=share.squeeze(-1), **({"a": decay[0].squeeze(-1)} if self.gated else {}))
        weights = state.weights.unflatten(-1, (self.heads, self.width, self.width))
        if self.gated:
            weights = decay[0].unsqueeze(-1) * weights
        missed = value - (weights @ key.unsqueeze(-1)).squeeze(-1)
        weights = weights + (share * missed).unsqueeze(-1) * key.unsqueeze(-2)
        hidden = (weights @ query.unsqueeze(-1)).flatten(1)
        return hidden, DeltaNetState(hidden, weights.flatten(1))
