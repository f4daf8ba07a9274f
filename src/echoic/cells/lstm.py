"""Long short-term memory (Hochreiter and Schmidhuber, 1997; forget gate: Gers et al., 2000)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoic.cells.base import Cell
from echoic.errors import OptionError


class LSTMState(NamedTuple):
    """hidden: [B, H], or [B, P] with a projection; cell: [B, H]."""

    hidden: Tensor
    cell: Tensor


class LSTM(Cell):
    """One LSTM step. Gate blocks of the weights are ordered i, f, g, o.

    Args:
        input_size: features of an input, I.
        hidden_size: features of the cell state, H.
        peephole: the gates see the cell state too (Gers et al., 2002).
        coupled: the input gate is one minus the forget gate (Greff et al., 2017); its block is not used then.
        projection_size: features of the hidden state if it is projected (Sak et al., 2014), P; None for no projection.
        layer_norm: layer normalisation of both sums of the gates and of the cell state (Ba et al., 2016).
        forget_bias: what the biases of the forget gate add up to at the start (Jozefowicz et al., 2015).

    Raises:
        OptionError: a projection that does not make the state smaller.
    """

    equations = """
        i = sigmoid(W_ii x + b_ii + W_hi h + b_hi  [+ p_i * c])
        f = sigmoid(W_if x + b_if + W_hf h + b_hf  [+ p_f * c])       [coupled: i = 1 - f]
        g = tanh(W_ig x + b_ig + W_hg h + b_hg)
        c' = f * c + i * g
        o = sigmoid(W_io x + b_io + W_ho h + b_ho  [+ p_o * c'])
        h' = o * tanh(c')                                             [projected: h' = W_hr (o * tanh(c'))]
    """
    variants = (
        {},
        {"peephole": True},
        {"coupled": True},
        {"projection_size": 3},
        {"layer_norm": True},
        {"peephole": True, "coupled": True, "projection_size": 2, "layer_norm": True},
    )

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        peephole: bool = False,
        coupled: bool = False,
        projection_size: int | None = None,
        layer_norm: bool = False,
        forget_bias: float = 1.0,
    ) -> None:
        super().__init__(input_size, hidden_size, projection_size)
        if projection_size is not None and projection_size >= hidden_size:
            raise OptionError(
                f"projection_size: found {projection_size}, expected less than hidden_size {hidden_size}."
            )
        self.peephole, self.coupled, self.projection_size = peephole, coupled, projection_size
        self.layer_norm, self.forget_bias = layer_norm, forget_bias
        self.make_weights(4)
        if projection_size is not None:
            self.weight_hr = nn.Parameter(torch.empty(projection_size, hidden_size))
        if peephole:
            self.weight_peephole = nn.Parameter(torch.empty(3, hidden_size))  # i, f, o
        if layer_norm:
            self.norm_ih, self.norm_hh = nn.LayerNorm(4 * hidden_size), nn.LayerNorm(4 * hidden_size)
            self.norm_cell = nn.LayerNorm(hidden_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform within 1/sqrt(H) but for the forget gate's bias and the gains of layer normalisation."""
        super().reset_parameters()
        forget = slice(self.hidden_size, 2 * self.hidden_size)
        with torch.no_grad():
            self.bias_ih[forget] = self.forget_bias
            self.bias_hh[forget] = 0
        for module in self.children():
            if isinstance(module, nn.LayerNorm):
                module.reset_parameters()
        if self.layer_norm:  # normalising the two sums would remove the biases added before: they go behind it
            with torch.no_grad():
                self.norm_ih.bias[forget] = self.forget_bias
                self.bias_ih[forget] = 0

    def initial_state(self, batch_size: int) -> LSTMState:
        return LSTMState(self.zeros(batch_size, self.output_size), self.zeros(batch_size, self.hidden_size))

    def project(self, inputs: Tensor) -> Tensor:
        projected = super().project(inputs)
        return self.norm_ih(projected) if self.layer_norm else projected

    def update(self, projected: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        recurrent = self.recurrent(state.hidden)
        if self.layer_norm:
            recurrent = self.norm_hh(recurrent)
        sum_i, sum_f, sum_g, sum_o = (projected + recurrent).chunk(4, dim=-1)
        if self.peephole:
            sum_i = sum_i + self.weight_peephole[0] * state.cell
            sum_f = sum_f + self.weight_peephole[1] * state.cell
        f = torch.sigmoid(sum_f)
        i = 1 - f if self.coupled else torch.sigmoid(sum_i)
        g = torch.tanh(sum_g)
        cell = f * state.cell + i * g
        if self.peephole:
            sum_o = sum_o + self.weight_peephole[2] * cell
        o = torch.sigmoid(sum_o)
        self.observe(i=i, f=f, g=g, o=o)
        hidden = o * torch.tanh(self.norm_cell(cell) if self.layer_norm else cell)
        if self.projection_size is not None:
            hidden = F.linear(hidden, self.weight_hr)
        return hidden, LSTMState(hidden, cell)
