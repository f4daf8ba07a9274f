"""LSTM over maps whose gates see their surroundings (Shi et al., 2015)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoic.cells.base import Cell
from echoic.errors import OptionError


class ConvLSTMState(NamedTuple):
    """hidden, cell: [B, H], the map of the first channel row by row, of the second, ..."""

    hidden: Tensor
    cell: Tensor


class ConvLSTM(Cell):
    """An LSTM at every place of a map, all with the same weights, that sees the places around it.

    Inputs, states and outputs are maps of channels, as images are flattened. Gate blocks of the weights are ordered
    i, f, g, o, those of the peepholes i, f, o. In a bidirectional stack the channels of one direction follow those of
    the other, so that layers above see maps, too.

    Args:
        input_size: height times width times the channels of an input, D.
        hidden_size: height times width times the channels of a state, C.
        height: rows of a map. width: columns.
        kernel: rows and columns that a gate sees, an odd number.

    Raises:
        OptionError: sizes that are no multiples of height times width; no place; an even kernel.
    """

    equations = """
        i = sigmoid(W_xi * X + W_hi * H + p_i . C + b_i)              [*: convolution; . and the rest: place by place]
        f = sigmoid(W_xf * X + W_hf * H + p_f . C + b_f)
        C' = f . C + i . tanh(W_xg * X + W_hg * H + b_g)
        o = sigmoid(W_xo * X + W_ho * H + p_o . C' + b_o)
        H' = o . tanh(C')
    """
    variants = ({}, {"height": 3, "width": 2, "kernel": 1})

    def __init__(self, input_size: int, hidden_size: int, height: int = 4, width: int = 4, kernel: int = 3) -> None:
        super().__init__(input_size, hidden_size)
        if height < 1 or width < 1:
            raise OptionError(f"height, width: found {height} and {width}, expected at least 1.")
        if kernel < 1 or kernel % 2 == 0:
            raise OptionError(f"kernel: found {kernel}, expected an odd number.")
        for name, size in {"input_size": input_size, "hidden_size": hidden_size}.items():
            if size % (height * width):
                raise OptionError(f"ConvLSTM: {name}: found {size}, expected a multiple of {height} times {width}.")
        self.height, self.width, self.kernel = height, width, kernel
        given, self.channels = input_size // (height * width), hidden_size // (height * width)
        self.weight_ih = nn.Parameter(torch.empty(4 * self.channels, given, kernel, kernel))
        self.weight_hh = nn.Parameter(torch.empty(4 * self.channels, self.channels, kernel, kernel))
        self.bias_ih = nn.Parameter(torch.empty(4 * self.channels))
        self.weight_peephole = nn.Parameter(torch.empty(3, hidden_size))
        self.reset_parameters()

    @classmethod
    def nearest_sizes(cls, input_size: int, hidden_size: int, **options: Any) -> tuple[int, int]:
        places = options.get("height", 4) * options.get("width", 4)
        return input_size + -input_size % places, hidden_size + -hidden_size % places

    def reset_parameters(self) -> None:
        """Glorot's kernels, peepholes that see nothing yet, a forget gate that begins open (bias 1)."""
        nn.init.xavier_uniform_(self.weight_ih)
        nn.init.xavier_uniform_(self.weight_hh)
        nn.init.zeros_(self.bias_ih)
        nn.init.zeros_(self.weight_peephole)
        with torch.no_grad():
            self.bias_ih[self.channels : 2 * self.channels] = 1

    def initial_state(self, batch_size: int) -> ConvLSTMState:
        return ConvLSTMState(self.zeros(batch_size, self.hidden_size), self.zeros(batch_size, self.hidden_size))

    def project(self, inputs: Tensor) -> Tensor:
        return self._seen(inputs, self.weight_ih, self.bias_ih)

    def update(self, projected: Tensor, state: ConvLSTMState) -> tuple[Tensor, ConvLSTMState]:
        sums = projected + self._seen(state.hidden, self.weight_hh)
        sum_i, sum_f, sum_g, sum_o = sums.chunk(4, dim=-1)
        peep_i, peep_f, peep_o = self.weight_peephole
        i, f = torch.sigmoid(sum_i + peep_i * state.cell), torch.sigmoid(sum_f + peep_f * state.cell)
        cell = f * state.cell + i * torch.tanh(sum_g)
        o = torch.sigmoid(sum_o + peep_o * cell)
        self.observe(i=i, f=f, o=o)
        hidden = o * torch.tanh(cell)
        return hidden, ConvLSTMState(hidden, cell)

    def _seen(self, maps: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """[..., channels * height * width] by a kernel, as many maps as it has outputs."""
        images = maps.reshape(-1, weight.shape[1], self.height, self.width)
        return F.conv2d(images, weight, bias, padding=self.kernel // 2).reshape(*maps.shape[:-1], -1)
