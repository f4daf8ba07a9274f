"""Zoneout: units that keep their previous state at random."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from echoic.cells import Cell
from echoic.layers.dropout import check_probability


class Zoneout(Cell):
    """A cell some of whose units keep their previous state at each step (Krueger et al., 2017).

    In training each unit of each part of the state keeps its old value with probability ``p``, drawn anew for every
    step and row; in evaluation the state is the expectation, ``p * old + (1 - p) * new``. The output follows where it
    is a part of the state; counters and sums that belong together (``Cell.unzoned``) are left alone. No fused kernel
    does this, so such a cell runs through the reference loop.

    Args:
        cell: the cell that makes the new state.
        p: probability that a unit keeps its state, at least 0 and below 1.

    Raises:
        OptionError: ``p`` is no such probability.
    """

    def __init__(self, cell: Cell, p: float) -> None:
        super().__init__(cell.input_size, cell.hidden_size, cell.output_size)
        check_probability("zoneout", p)
        self.cell = cell
        self.input_layout = cell.input_layout
        self.p = p

    def reset_parameters(self) -> None:
        self.cell.reset_parameters()

    def initial_state(self, batch_size: int) -> Any:
        return self.cell.initial_state(batch_size)

    def project(self, inputs: Tensor) -> Tensor:
        return self.cell.project(inputs)

    def update(self, projected: Tensor, state: Any) -> tuple[Tensor, Any]:
        output, new_state = self.cell.update(projected, state)
        parts = zip(new_state._fields, state, new_state, strict=True)
        kept = type(new_state)(*(new if name in self.cell.unzoned else self._mix(old, new) for name, old, new in parts))
        for new, mixed in zip(new_state, kept, strict=True):
            if output is new:
                output = mixed
        return output, kept

    def _mix(self, old: Tensor, new: Tensor) -> Tensor:
        if not self.training:
            return self.p * old + (1 - self.p) * new
        return torch.where(torch.rand_like(new) < self.p, old, new)
