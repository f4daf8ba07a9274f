"""Cells over packed sequences by the native engine, forward and backward: numbers in, numbers out, no graph.

Several passes, the two directions of a layer, are done side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from echoic.engine.buffers import BUFFERS, numbers_from
from echoic.engine.compiled import Compiled
from echoic.engine.execute import Launch, launch
from echoic.engine.frames import again_frame, backward_frame, forward_frame
from echoic.engine.layout import Timing
from echoic.engine.precision import without_autocast


class Given(NamedTuple):
    """What is run, all but the parameters contiguous.

    inputs: [N, I] packed, or [B, T, I] where no row is shorter than another, in memory step by step: the same rows.
        They are what the cell's ``project`` makes of the inputs where that is no part of its program.
    states: [B, W] state before the first step, in the order of ranks, a tensor a field.
    fresh: the state that a reset gives, likewise; empty without resets.
    parameters: what the step uses.
    """

    inputs: Tensor
    states: Sequence[Tensor]
    fresh: Sequence[Tensor]
    parameters: Sequence[Tensor]

    def contiguous(self) -> Given:
        """The same in memory as the engine reads it."""
        states, fresh = [part.contiguous() for part in self.states], [part.contiguous() for part in self.fresh]
        inputs = self.inputs.contiguous() if self.inputs.dim() == 2 else step_by_step(self.inputs)
        return Given(inputs, states, fresh, self.parameters)


def step_by_step(inputs: Tensor) -> Tensor:
    """[B, T, I], in memory as [T, B, I] is where it is contiguous."""
    return inputs.transpose(0, 1).contiguous().transpose(0, 1)


class Made(NamedTuple):
    """What a forward pass gives.

    outputs: [N, O], or [B, T, O] for such inputs and in memory like them. last: [B, W] each field of the last state.
    kept: what the backward needs besides, states and gates, in one piece of memory.
    """

    outputs: Tensor
    last: list[Tensor]
    kept: Tensor


class Gradients(NamedTuple):
    """What a backward pass gives.

    inputs: of the inputs' shape; empty if not asked for. states, fresh: of each field [B, W], None if not asked for.
    trained: of the recording's trained parameters.
    """

    inputs: Tensor
    states: Sequence[Tensor | None]
    fresh: list[Tensor]
    trained: list[Tensor]


class Pass(NamedTuple):
    """A cell over a batch of sequences.

    cell: what makes one step. given: what is run. timing: when which rows are run.
    keep: for the backward: "nothing", "gates" (all it needs) or "states" (it computes the gates again).
    known: the outputs, where the pass was run before and only "gates" are lacking; else None. Of a cell whose output is
        a field of the state the steps then no longer wait for each other's matmuls.
    """

    cell: Compiled
    given: Given
    timing: Timing
    keep: str
    known: Tensor | None = None


class Pulled(NamedTuple):
    """A pass and the gradients that come back to it.

    forward, made: the pass and what it gave; of ``made`` the last state is not looked at, and the given inputs only
        where the backward needs them.
    pull: of the outputs. pulls: of each field of the last state, None for zeros.
    to_inputs, to_states: whether the gradients of the inputs, of the states before the first step are wanted.
    """

    forward: Pass
    made: Made
    pull: Tensor
    pulls: Sequence[Tensor | None]
    to_inputs: bool
    to_states: bool


def forward(passes: Sequence[Pass]) -> list[Made]:
    """Run cells."""
    prepared = [_prepared(each) for each in passes]
    launch([run for _, run in prepared])
    return [made for made, _ in prepared]


@without_autocast
def backward(passes: Sequence[Pulled]) -> list[Gradients]:
    """The gradients of ``forward``."""
    prepared = [_prepared_backward(each) for each in passes]
    launch([run for *_, run in prepared])
    for (cell, given, *_), (gradients, sums, _) in zip([each.forward for each in passes], prepared, strict=True):
        through = cell.handed_through
        made = cell.recording.epilogue.forward(*given.parameters, *sums) if through is None else ()
        trained = made if through is None else [sums[which] for which in through]
        gradients.trained.extend([gradient.contiguous() for gradient in trained])
    return [gradients for gradients, _, _ in prepared]


def _prepared(each: Pass) -> tuple[Made, Launch]:
    cell, (inputs, states, fresh, parameters), timing, keep, known = each
    shape, batch = inputs.shape[:-1], states[0].shape[0]
    rows = shape.numel()
    if known is None or cell.aliased is None:
        frame, before = forward_frame(cell, keep, inputs.dtype), []
        outputs = _empty(inputs, shape, cell.output_width)
    else:
        frame, outputs = again_frame(cell, inputs.dtype), known
        before = [_before(outputs, states[cell.aliased], fresh[cell.aliased] if fresh else None, timing)]
    operands = frame.prologue.operands(parameters)
    whole = len(shape) > 1  # else some rows may take no step, and keep their state
    last = [torch.empty_like(state) if whole else state.clone() for state in states]
    kept = numbers_from(BUFFERS, inputs, rows * frame.width)
    arrays = [*timing, inputs, outputs, kept, *states, *_of_each(fresh, states), *last, *before, *operands.addresses]
    sizes = (timing.active.shape[0], batch, rows)
    run = Launch(frame.native(operands.strides), sizes, arrays, rows * frame.kernel.work, operands.alive)
    return Made(outputs, last, kept), run


def _before(outputs: Tensor, first: Tensor, fresh: Tensor | None, timing: Timing) -> Tensor:
    """[N, O] rows of a state before each step, where they are the outputs [N, O] or [B, T, O] of the step before it.

    first, fresh: [B, O] the state before the first step, and that which a reset gives.
    """
    offsets, active, cleared = timing
    outputs = outputs if outputs.dim() == 2 else outputs.transpose(0, 1).flatten(0, 1)
    step = torch.arange(len(active)).repeat_interleave(active)
    rank = torch.arange(len(step)) - (active.cumsum(0) - active)[step]
    rows, begins = offsets[step] + rank, int(active[:1].sum())
    found = torch.empty_like(outputs)
    found[rows[:begins]] = first[:begins]
    found[rows[begins:]] = outputs[offsets[step[begins:] - 1] + rank[begins:]]
    if cleared is not None and fresh is not None:
        anew = cleared[rows].bool()
        found[rows[anew]] = fresh[rank[anew]]
    return found


def _empty(like: Tensor, shape: torch.Size, width: int) -> Tensor:
    """Rows of such a width for those of a shape, [N] or [B, T] and then in memory step by step.

    A transpose would be a view, whose numbers nobody may change in place once it comes out of an autograd function.
    """
    if len(shape) == 1:
        return like.new_empty(*shape, width)
    return like.new_empty_strided((*shape, width), (width, shape[0] * width, 1))


def _of_each(parts: Sequence[Tensor], fields: Sequence[Tensor]) -> Sequence[Tensor | None]:
    """Something of each field, if it is there."""
    return parts or [None] * len(fields)


def _prepared_backward(each: Pulled) -> tuple[Gradients, list[Tensor], Launch]:
    """The gradients, without the trained ones; what these are made of; the run that fills them."""
    (cell, (inputs, states, fresh, parameters), timing, keep, _), made, pull, pulls, to_inputs, to_states = each
    shape, batch = pull.shape[:-1], states[0].shape[0]
    pull = pull.contiguous() if len(shape) == 1 else pull.transpose(0, 1).contiguous()
    rows, whole = shape.numel(), len(shape) > 1
    frame = backward_frame(cell, keep, pull.dtype, to_inputs)
    operands = frame.prologue.operands(parameters)
    pulls = [None if part is None else part.contiguous() for part in pulls]
    of_inputs = _empty(pull, shape, cell.input_width) if to_inputs else pull.new_empty(0)
    first = [None] * len(states)
    if to_states:  # rows of no step hand their gradient through
        first = [torch.empty_like(s) if whole else torch.zeros_like(s) if p is None else p.clone()
                 for s, p in zip(states, pulls, strict=True)]  # fmt: skip
    freshened = [torch.zeros_like(part) for part in fresh]
    make = pull.new_empty if rows else pull.new_zeros
    sums = [make(*shape) for shape, _ in frame.sums]
    scratch = BUFFERS.take(rows * frame.width * pull.itemsize)
    arrays = [*timing, inputs, made.outputs, made.kept, *states, *_of_each(fresh, states), pull, of_inputs, scratch,
              *pulls, *first, *_of_each(freshened, states), *operands.addresses, *sums]  # fmt: skip
    sizes = (timing.active.shape[0], batch, rows)
    run = Launch(frame.native(operands.strides), sizes, arrays, rows * frame.kernel.work, operands.alive)
    recorded = [part.t() if turned else part for part, (_, turned) in zip(sums, frame.sums, strict=True)]
    return Gradients(of_inputs, first, freshened, []), recorded, run
