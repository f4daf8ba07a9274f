"""Where the rows of a batch lie in memory: one after the other without padding, longest first."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from echoic.engine.call import Call
from echoic.engine.onlookers import recording_operators, transforming


class Timing(NamedTuple):
    """When which rows are run.

    offsets, active: [steps] where a step's rows begin and how many there are.
    cleared: [N] 1 where a row's state is fresh before the step, or None.
    """

    offsets: Tensor
    active: Tensor
    cleared: Tensor | None


class Layout:
    """The steps of a call in the order in which they are run, whichever direction time has.

    A dense batch stays as it is, [T * B] rows. Where rows have lengths they are sorted, longest first, and step s of
    every row, counted from the row's own first step (its last in reverse), lies beside step s of the others.

    Args:
        call: what is run.
        cleared: [T, B] where a row's state is fresh before a step, or None.

    Attributes:
        steps: how many steps are run. rows: of all steps together, N. batch: B.
        offsets, active: [steps] where a step's rows begin, and how many there are.
    """

    def __init__(self, call: Call, cleared: Tensor | None = None) -> None:
        self.total, self.batch = call.inputs.shape[:2]
        self.lengths = call.lengths
        if call.lengths is None:
            self.steps, self.rows = self.total, self.total * self.batch
            # Tensors made while somebody looks on are not to be kept for those who come later
            made = _dense_timing if recording_operators() or transforming() else dense_timing
            self.offsets, self.active, _ = made(self.steps, self.batch, call.reverse)
        else:
            ordered, self.order = call.lengths.sort(descending=True, stable=True)
            self.steps = int(ordered[0])
            self.active = (ordered.unsqueeze(0) > torch.arange(self.steps).unsqueeze(1)).sum(1)
            self.offsets = torch.cat([self.active.new_zeros(1), self.active.cumsum(0)])[:-1]
            self.rows = int(ordered.sum())
            ranks = torch.arange(self.batch).expand(self.steps, -1)
            taking_part = ranks < self.active.unsqueeze(1)
            self.rank = ranks[taking_part]
            step = torch.arange(self.steps).unsqueeze(1).expand(-1, self.batch)[taking_part]
            time = ordered[self.rank] - 1 - step if call.reverse else step
            self.index = self.order[self.rank] * self.total + time  # in [B, T], as callers hold their sequences
        self.cleared: Tensor | None = None  # [N] 1 where the state is fresh before the step
        if cleared is not None:
            self.cleared = self.pack(cleared.unsqueeze(2)).squeeze(1).to(torch.uint8).contiguous()

    @property
    def timing(self) -> Timing:
        """When which rows are run, as the engine takes it."""
        return Timing(self.offsets, self.active, self.cleared)

    def pack(self, values: Tensor) -> Tensor:
        """[T, B, F] to [N, F]; what stands past a row's end is not looked at."""
        if self.lengths is None:
            return values.reshape(self.total * self.batch, values.shape[2])
        by_row = values.transpose(0, 1).reshape(self.batch * self.total, values.shape[2])
        return _Gather.apply(by_row, self.index)  # pyright: ignore

    def unpack(self, values: Tensor) -> Tensor:
        """[N, F] to [T, B, F], zero where a row has ended."""
        if self.lengths is None:
            return values.view(self.total, self.batch, values.shape[1])
        by_row = _Scatter.apply(values, self.index, self.batch * self.total)
        return by_row.view(self.batch, self.total, values.shape[1]).transpose(0, 1)  # pyright: ignore

    def ranked(self, state: Tensor) -> Tensor:
        """[B, W] in the order of ranks."""
        return state if self.lengths is None else state.index_select(0, self.order)

    def unranked(self, state: Tensor) -> Tensor:
        """[B, W] in the order of the batch."""
        if self.lengths is None:
            return state
        return torch.empty_like(state).index_copy_(0, self.order, state)


class _Gather(torch.autograd.Function):
    """Rows [N, F] of an array [M, F], no row twice: its gradient is a copy, not a sum as index_select's."""

    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor, index: Tensor) -> Tensor:
        return values.index_select(0, index)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.rows = inputs[0].shape[0]
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, pull: Tensor) -> tuple[Tensor, None]:
        return _Scatter.apply(pull, ctx.saved_tensors[0], ctx.rows), None  # pyright: ignore


class _Scatter(torch.autograd.Function):
    """The reverse: rows to their places among M, the others zero."""

    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor, index: Tensor, rows: int) -> Tensor:
        return values.new_zeros(rows, values.shape[1]).index_copy_(0, index, values)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, pull: Tensor) -> tuple[Tensor, None, None]:
        return _Gather.apply(pull, ctx.saved_tensors[0]), None, None  # pyright: ignore


def cleared_before(call: Call) -> Tensor | None:
    """[T, B] where a row's state is fresh before a step is run. A reset parts two segments: run backwards, the state
    is cleared before the last step of the earlier one."""
    if call.reset is None or not call.reverse:
        return call.reset
    return torch.cat([call.reset[1:], torch.zeros_like(call.reset[:1])])


def _dense_timing(steps: int, batch: int, reverse: bool) -> Timing:
    """Of a batch without lengths and resets; nobody writes to it."""
    offsets = torch.arange(steps) * batch
    return Timing(offsets.flip(0) if reverse else offsets, torch.full((steps,), batch), None)


dense_timing = lru_cache(maxsize=64)(_dense_timing)
