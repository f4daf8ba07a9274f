"""Sums over all rows and steps, one matmul each, from what the loop kept: the gradients of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from echoic.engine.compiled import Compiled
from echoic.engine.layout import entering_index


class Entering:
    """The state before every row's step as one matrix [N, W], made where it is needed."""

    def __init__(
        self, cell: Compiled, states: Sequence[Tensor], fresh: Sequence[Tensor], after: Sequence[Tensor], timing: Any
    ) -> None:
        self.cell, self.states, self.fresh, self.after, self.timing = cell, states, fresh, after, timing
        self.made: dict[str, Tensor] = {}

    def matrix(self, name: str) -> Tensor:
        """The state of a field, ``state.hidden``."""
        if name not in self.made:
            offsets, active, cleared = self.timing
            i = self.cell.fields.index(name.removeprefix("state."))
            batch, rows = self.states[i].shape[0], self.after[i].shape[0]
            index = entering_index(offsets, active, batch, rows)
            entering = torch.cat([self.states[i], self.after[i]]).index_select(0, index)
            if cleared is not None:
                ranks = torch.empty(rows, dtype=torch.int64)
                positions = torch.arange(rows)
                steps = torch.repeat_interleave(torch.arange(len(offsets)), active)
                begins = torch.repeat_interleave(active.cumsum(0) - active, active)
                ranks[offsets[steps] + positions - begins] = positions - begins
                chosen = cleared.bool().unsqueeze(1)
                entering = torch.where(chosen, self.fresh[i].index_select(0, ranks), entering)
            self.made[name] = entering
        return self.made[name]

    def shifted(self, name: str) -> tuple[Tensor, Tensor, bool] | None:
        """First state, states after every step, and whether time runs backwards, of a dense batch without resets:
        then the matrix need not be made."""
        offsets, active, cleared = self.timing
        i = self.cell.fields.index(name.removeprefix("state."))
        batch, rows = self.states[i].shape[0], self.after[i].shape[0]
        if cleared is not None or rows == 0 or rows != batch * len(active):
            return None
        return self.states[i], self.after[i], len(offsets) > 1 and bool(offsets[0] > offsets[1])


def outer(left: Tensor, right: str, arrays: dict[str, Tensor], entering: Entering) -> Tensor:
    """The sum over all rows of the outer products of two values."""
    if not right.startswith("state."):
        return left.t() @ arrays[right]
    shifted = entering.shifted(right)
    if shifted is None:
        return left.t() @ entering.matrix(right)
    first, after, backwards = shifted
    batch = first.shape[0]
    later, begin = (left[:-batch], left[-batch:]) if backwards else (left[batch:], left[:batch])
    before = after[batch:] if backwards else after[:-batch]
    return torch.addmm(begin.t() @ first, later.t(), before)
