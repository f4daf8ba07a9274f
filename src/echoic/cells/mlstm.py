"""LSTM with a matrix for a memory: mLSTM of xLSTM (Beck et al., 2024)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoic.cells.base import Cell
from echoic.errors import OptionError


class MLSTMState(NamedTuple):
    """hidden: [B, H], the output, which does not recur.

    memory: [B, H * H / heads], a matrix of each head, values by keys; normaliser: [B, H], the keys that it holds;
    stabiliser: [B, heads]. Memory and normaliser are to be thought times e^stabiliser.
    """

    hidden: Tensor
    memory: Tensor
    normaliser: Tensor
    stabiliser: Tensor


class MLSTM(Cell):
    """An LSTM that keeps outer products of values and keys, and is asked with queries. Its gates see the input alone.

    Blocks of the weights are ordered q, k, v, o, each head after head, then i and f with one row a head. The
    stabiliser holds the largest exponent so that no exponential overflows; it changes no output.

    Args:
        input_size: features of an input, I.
        hidden_size: features of the output, H.
        heads: memories of their own, each with H / heads values and keys.

    Raises:
        OptionError: a hidden size that is no multiple of the heads.
    """

    equations = """
        q, k, v, o, i, f = W x + b;  k over sqrt(H / heads)                          [i, f: one number for each head]
        m' = max(log(sigmoid(f)) + m, i)
        C' = exp(log(sigmoid(f)) + m - m') * C + exp(i - m') * v k^T
        n' = exp(log(sigmoid(f)) + m - m') * n + exp(i - m') * k
        h' = sigmoid(o) * C' q / max(|n' . q|, exp(-m'))
    """
    variants = ({}, {"heads": 1})
    unzoned = ("memory", "normaliser", "stabiliser")

    def __init__(self, input_size: int, hidden_size: int, heads: int = 4) -> None:
        super().__init__(input_size, hidden_size)
        if heads < 1 or hidden_size % heads:
            raise OptionError(f"heads: found {heads}, expected a divisor of hidden_size {hidden_size}.")
        self.heads, self.width = heads, hidden_size // heads
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_size + 2 * heads, input_size))
        self.bias_ih = nn.Parameter(torch.empty(4 * hidden_size + 2 * heads))
        self.reset_parameters()

    @classmethod
    def nearest_sizes(cls, input_size: int, hidden_size: int, **options: Any) -> tuple[int, int]:
        return input_size, hidden_size + -hidden_size % options.get("heads", 4)

    def reset_parameters(self) -> None:
        """Uniform within 1/sqrt(H); the forget gates' biases spread from 3 to 6 over the heads, the others zero."""
        super().reset_parameters()
        nn.init.zeros_(self.bias_ih)
        with torch.no_grad():
            self.bias_ih[-self.heads :] = torch.linspace(3, 6, self.heads)

    def initial_state(self, batch_size: int) -> MLSTMState:
        sizes = self.hidden_size, self.hidden_size * self.width, self.hidden_size, self.heads
        return MLSTMState(*(self.zeros(batch_size, size) for size in sizes))

    def update(self, projected: Tensor, state: MLSTMState) -> tuple[Tensor, MLSTMState]:
        of_units, log_i, sum_f = projected.split([4 * self.hidden_size, self.heads, self.heads], dim=-1)
        query, key, value, sum_o = of_units.unflatten(-1, (4, self.heads, self.width)).unbind(1)
        key = key / self.width**0.5
        kept = state.stabiliser - F.softplus(-sum_f)
        stabiliser = torch.maximum(kept, log_i)
        i, f = (torch.exp(part - stabiliser).unsqueeze(-1) for part in (log_i, kept))
        self.observe(i=i.squeeze(-1), f=f.squeeze(-1), o=torch.sigmoid(sum_o).flatten(1))
        memory = state.memory.unflatten(-1, (self.heads, self.width, self.width))
        memory = f.unsqueeze(-1) * memory + (i * value).unsqueeze(-1) * key.unsqueeze(-2)
        normaliser = f * state.normaliser.unflatten(-1, (self.heads, self.width)) + i * key
        found = (memory @ query.unsqueeze(-1)).squeeze(-1)
        # Nothing that was kept weighs as much as e^80; its exponential is to stay a number
        least = torch.exp(torch.clamp(-stabiliser, max=80)).unsqueeze(-1)
        weight = torch.maximum((normaliser * query).sum(-1, keepdim=True).abs(), least)
        hidden = (torch.sigmoid(sum_o) * found / weight).flatten(1)
        return hidden, MLSTMState(hidden, memory.flatten(1), normaliser.flatten(1), stabiliser)
