"""Coupled oscillatory network (Rusch and Mishra, 2021)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from echoic.cells.base import Cell
from echoic.errors import OptionError


class CoRNNState(NamedTuple):
    """hidden: [B, H], where the oscillators are; velocity: [B, H]."""

    hidden: Tensor
    velocity: Tensor


class CoRNN(Cell):
    """One step of a network of driven, damped, coupled oscillators, whose gradients neither explode nor vanish.

    Args:
        input_size: features of an input, I.
        hidden_size: oscillators, H.
        time_step: how long a step lasts, dt. The defaults are the paper's for sequential MNIST.
        frequency: how strongly an oscillator is drawn back, gamma.
        damping: how strongly it is slowed down, epsilon.

    Raises:
        OptionError: a time step, frequency or damping that is not positive.
    """

    equations = """
        a = tanh(W_ih x + b_ih + W_hh [h, v] + b_hh)
        v' = v + dt * (a - gamma * h - epsilon * v)
        h' = h + dt * v'
    """
    variants = ({}, {"time_step": 0.3, "frequency": 1.2, "damping": 0.7})

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        time_step: float = 0.042,
        frequency: float = 2.7,
        damping: float = 4.7,
    ) -> None:
        super().__init__(input_size, hidden_size)
        for option, value in {"time_step": time_step, "frequency": frequency, "damping": damping}.items():
            if not value > 0:
                raise OptionError(f"{option}: found {value}, expected more than 0.")
        self.time_step, self.frequency, self.damping = time_step, frequency, damping
        self.make_weights(1, recurrent_size=2 * hidden_size)
        self.reset_parameters()

    def initial_state(self, batch_size: int) -> CoRNNState:
        return CoRNNState(self.zeros(batch_size, self.hidden_size), self.zeros(batch_size, self.hidden_size))

    def update(self, projected: Tensor, state: CoRNNState) -> tuple[Tensor, CoRNNState]:
        hidden, velocity = state
        force = torch.tanh(projected + self.recurrent(torch.cat([hidden, velocity], dim=-1)))
        self.observe(force=force)
        velocity = velocity + self.time_step * (force - self.frequency * hidden - self.damping * velocity)
        hidden = hidden + self.time_step * velocity
        return hidden, CoRNNState(hidden, velocity)
