"""GRU with decay, for values that are missing and times that are irregular (GRU-D; Che et al., 2018)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoic.cells.base import Cell
from echoic.errors import OptionError


class GRUDState(NamedTuple):
    """hidden: [B, H]; observed: [B, V], each value when it was last seen, less its mean."""

    hidden: Tensor
    observed: Tensor


class GRUD(Cell):
    """A GRU that fills a missing value by the last one seen, fading to the mean, and fades its state as well.

    An input is three blocks of V features: the values (anything finite where missing), the mask (1 where seen, 0 where
    missing) and, for each value, the time since it was last seen, not negative. The means are the buffer ``means``
    [V], zeros until set: right for standardised values. Gate blocks of the weights are ordered r, z, n, and the reset
    gate acts before the matmul, as published; z is one minus the paper's, as in GRU. (The authors' later code blends n
    with h itself instead of k, and gives the gates 1 - m.)

    Args:
        input_size: three times the number of values, 3 V.
        hidden_size: features of the state, H.

    Raises:
        OptionError: an input size that is no multiple of three.
    """

    equations = """
        y = exp(-relu(w_d * d + b_d)),  y_h = exp(-relu(W_dh d + b_dh))      [d: time since each value was seen]
        u = m * x + (1 - m) * (y * x_seen + (1 - y) * mean)                  [m: mask]
        k = y_h * h
        r = sigmoid(W_ir u + V_r m + b_r + W_hr k)
        z = sigmoid(W_iz u + V_z m + b_z + W_hz k)
        n = tanh(W_in u + V_n m + b_n + W_hn (r * k))
        h' = (1 - z) * n + z * k
    """
    input_layout = "values (V), mask (V), time since each value was seen (V)"
    unzoned = ("observed",)

    means: Tensor  # [V]

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        if input_size % 3:
            raise OptionError(
                f"GRUD: input_size: found {input_size}, expected a multiple of 3: values, mask and time since seen."
            )
        self.values = input_size // 3
        self.weight_ih = nn.Parameter(torch.empty(3 * hidden_size, self.values))
        self.weight_mask = nn.Parameter(torch.empty(3 * hidden_size, self.values))
        self.weight_hh = nn.Parameter(torch.empty(3 * hidden_size, hidden_size))
        self.bias_ih = nn.Parameter(torch.empty(3 * hidden_size))
        self.weight_decay = nn.Parameter(torch.empty(self.values))
        self.bias_decay = nn.Parameter(torch.empty(self.values))
        self.weight_decay_hh = nn.Parameter(torch.empty(hidden_size, self.values))
        self.bias_decay_hh = nn.Parameter(torch.empty(hidden_size))
        self.register_buffer("means", torch.zeros(self.values))
        self.reset_parameters()

    @classmethod
    def nearest_sizes(cls, input_size: int, hidden_size: int, **options: Any) -> tuple[int, int]:
        return input_size + -input_size % 3, hidden_size

    def initial_state(self, batch_size: int) -> GRUDState:
        return GRUDState(self.zeros(batch_size, self.hidden_size), self.zeros(batch_size, self.values))

    def project(self, inputs: Tensor) -> Tensor:
        values, mask, elapsed = inputs.chunk(3, dim=-1)
        remaining = torch.exp(-torch.relu(self.weight_decay * elapsed + self.bias_decay))
        remaining_h = torch.exp(-torch.relu(F.linear(elapsed, self.weight_decay_hh, self.bias_decay_hh)))
        gates = F.linear(mask, self.weight_mask, self.bias_ih)
        return torch.cat([gates, remaining_h, mask * (values - self.means), 1 - mask, remaining], dim=-1)

    def update(self, projected: Tensor, state: GRUDState) -> tuple[Tensor, GRUDState]:
        widths = [3 * self.hidden_size, self.hidden_size, *[self.values] * 3]
        gates_x, remaining_h, seen, missing, remaining = projected.split(widths, dim=-1)
        filled = self.means + seen + missing * remaining * state.observed
        faded = remaining_h * state.hidden
        reset_x, update_x, new_x = (gates_x + F.linear(filled, self.weight_ih)).chunk(3, dim=-1)
        gates, new = 2 * self.hidden_size, slice(2 * self.hidden_size, None)
        reset_h, update_h = F.linear(faded, self.weight_hh[:gates]).chunk(2, dim=-1)
        r, z = torch.sigmoid(reset_x + reset_h), torch.sigmoid(update_x + update_h)
        n = torch.tanh(new_x + F.linear(r * faded, self.weight_hh[new]))
        self.observe(r=r, z=z, n=n, remaining=remaining, remaining_h=remaining_h)
        hidden = n + z * (faded - n)
        return hidden, GRUDState(hidden, seen + missing * state.observed)
