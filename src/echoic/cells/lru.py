"""Linear recurrent unit (Orvieto et al., 2023): a diagonal of complex numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoic.cells.linear import LinearCell, Turn
from echoic.errors import OptionError

NONLINEARITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda values: values,
    "silu": lambda values: values * torch.sigmoid(values),
    "tanh": torch.tanh,
}


class LRUState(NamedTuple):
    """hidden: [B, H], the output, which does not recur; real, imag: [B, N], the complex state."""

    hidden: Tensor
    real: Tensor
    imag: Tensor


class LRU(LinearCell):
    """Complex numbers that turn and decay at a pace of their own, driven and read by matrices.

    Rows of ``weight_ih`` are ordered real part of B, imaginary part of B, D; columns of ``weight_hy`` are the real part
    of C and the imaginary part of C with its sign changed.

    Args:
        input_size: features of an input, I.
        hidden_size: features of the output, H.
        state_size: complex numbers of the state, N; ``hidden_size`` if None.
        nonlinearity: of the output: "silu", "tanh", or "identity", the layer as published, which is linear in the
            whole sequence and needs something behind it that is not.
        min_radius: least magnitude of the diagonal at the start, at least 0; a state fades by it at each step.
        max_radius: greatest magnitude, below 1.

    Raises:
        OptionError: a nonlinearity that does not exist, a size below 1, or radii out of order.
    """

    equations = """
        a  = exp(-exp(u) + i exp(w))                                  [complex, one for each m]
        m' = a * m + exp(s) * (B x)                                   [complex]
        y' = f(Re(C m') + D x),    f = silu, tanh or identity
    """
    variants = ({}, {"state_size": 5, "nonlinearity": "identity"})

    decay_log: Tensor  # [N], u: logarithm of what is lost at a step
    angle_log: Tensor  # [N], w: logarithm of the angle turned at a step
    scale_log: Tensor  # [N], s: logarithm of what makes up for a long memory
    weight_hy: Tensor  # [H, 2N]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        state_size: int | None = None,
        nonlinearity: str = "silu",
        min_radius: float = 0.5,
        max_radius: float = 0.999,
    ) -> None:
        super().__init__(input_size, hidden_size)
        self.state_size = hidden_size if state_size is None else state_size
        if self.state_size < 1:
            raise OptionError(f"state_size: found {state_size}, expected at least 1.")
        if nonlinearity not in NONLINEARITIES:
            raise OptionError(f'nonlinearity: found "{nonlinearity}", expected one of {", ".join(NONLINEARITIES)}.')
        if not 0 <= min_radius < max_radius < 1:
            raise OptionError(
                f"min_radius, max_radius: found {min_radius} and {max_radius}, "
                "expected 0 <= min_radius < max_radius < 1."
            )
        self.nonlinearity, self.min_radius, self.max_radius = nonlinearity, min_radius, max_radius
        for name in ("decay_log", "angle_log", "scale_log"):
            setattr(self, name, nn.Parameter(torch.empty(self.state_size)))
        self.weight_ih = nn.Parameter(torch.empty(2 * self.state_size + hidden_size, input_size))
        self.weight_hy = nn.Parameter(torch.empty(hidden_size, 2 * self.state_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The diagonal uniform in the ring between the radii, the matrices normal, as published."""
        low, high = self.min_radius**2, self.max_radius**2
        with torch.no_grad():
            squared = (low + torch.rand(self.state_size) * (high - low)).clamp(min=1e-8)
            self.decay_log.copy_(torch.log(-0.5 * torch.log(squared)))
            self.angle_log.copy_(torch.log(2 * math.pi * torch.rand(self.state_size).clamp(min=1e-4)))
            self.scale_log.copy_(0.5 * torch.log(1 - squared))
            nn.init.normal_(self.weight_ih[: 2 * self.state_size], std=1 / math.sqrt(2 * self.input_size))
            nn.init.normal_(self.weight_ih[2 * self.state_size :], std=1 / math.sqrt(self.input_size))
            nn.init.normal_(self.weight_hy, std=1 / math.sqrt(self.state_size))

    def initial_state(self, batch_size: int) -> LRUState:
        sizes = (self.hidden_size, self.state_size, self.state_size)
        return LRUState(*(self.zeros(batch_size, size) for size in sizes))

    def project(self, inputs: Tensor) -> Tensor:
        return F.linear(inputs, self.weight_ih)

    def coefficients(self, projected: Tensor) -> tuple[Turn]:
        drive_real, drive_imag, _ = projected.split([self.state_size, self.state_size, self.hidden_size], dim=-1)
        radius, angle, scale = torch.exp(-torch.exp(self.decay_log)), torch.exp(self.angle_log), self.scale_log.exp()
        return (Turn(radius * torch.cos(angle), radius * torch.sin(angle), scale * drive_real, scale * drive_imag),)

    def read_out(self, projected: Tensor, memory: Sequence[Tensor]) -> Tensor:
        direct = projected[..., 2 * self.state_size :]
        return NONLINEARITIES[self.nonlinearity](F.linear(torch.cat(tuple(memory), dim=-1), self.weight_hy) + direct)
