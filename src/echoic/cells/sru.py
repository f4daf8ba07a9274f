"""Simple recurrent unit (Lei et al., 2018), in the form whose gates see the input alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from echoic.cells.linear import Decay, LinearCell
from echoic.errors import OptionError

NONLINEARITIES: dict[str, Callable[[Tensor], Tensor]] = {"identity": lambda values: values, "tanh": torch.tanh}


class SRUState(NamedTuple):
    """hidden: [B, H], the output, which does not recur; cell: [B, H]."""

    hidden: Tensor
    cell: Tensor


class SRU(LinearCell):
    """A cell state kept by a forget gate, and a highway past it. Blocks of the weights are ordered c, f, r, then s.

    The published gates may also see the cell state, element by element, which is no linear recurrence: those terms are
    left out, as in the paper's first version.

    Args:
        input_size: features of an input, I.
        hidden_size: features of the state, H. Where it is I, the highway carries the input as it is, else W_s x.
        nonlinearity: of the cell state on its way out: "identity" or "tanh".
        forget_bias: bias of the forget gate at the start; above zero a unit keeps its state for longer.

    Raises:
        OptionError: a nonlinearity that does not exist.
    """

    equations = """
        f = sigmoid(W_f x + b_f)
        r = sigmoid(W_r x + b_r)
        c' = f * c + (1 - f) * W_c x
        h' = r * g(c') + (1 - r) * s,    s = x, or W_s x where x has another size;  g = identity or tanh
    """
    variants = ({}, {"nonlinearity": "tanh"})

    def __init__(
        self, input_size: int, hidden_size: int, nonlinearity: str = "identity", forget_bias: float = 1.0
    ) -> None:
        super().__init__(input_size, hidden_size)
        if nonlinearity not in NONLINEARITIES:
            raise OptionError(f'nonlinearity: found "{nonlinearity}", expected one of {", ".join(NONLINEARITIES)}.')
        self.nonlinearity, self.forget_bias = nonlinearity, forget_bias
        self.make_input_weights((3 if input_size == hidden_size else 4) * hidden_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform within 1/sqrt(I) but for the forget gate's bias."""
        super().reset_parameters()
        self.set_bias(1, self.forget_bias)

    def initial_state(self, batch_size: int) -> SRUState:
        return SRUState(self.zeros(batch_size, self.hidden_size), self.zeros(batch_size, self.hidden_size))

    def project(self, inputs: Tensor) -> Tensor:
        projected = F.linear(inputs, self.weight_ih, self.bias_ih)
        return torch.cat([projected, inputs], dim=-1) if self.input_size == self.hidden_size else projected

    def coefficients(self, projected: Tensor) -> tuple[Decay]:
        candidate, sum_f, _, _ = projected.chunk(4, dim=-1)
        f = torch.sigmoid(sum_f)
        self.observe(f=f)
        return (Decay(f, (1 - f) * candidate),)

    def read_out(self, projected: Tensor, memory: Sequence[Tensor]) -> Tensor:
        _, _, sum_r, skip = projected.chunk(4, dim=-1)
        r = torch.sigmoid(sum_r)
        self.observe(r=r)
        return r * NONLINEARITIES[self.nonlinearity](memory[0]) + (1 - r) * skip
