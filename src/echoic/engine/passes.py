"""Cells over packed sequences by the native engine, forward and backward: numbers in, numbers out, no graph.

Several passes, the two directions of a layer, are done side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from echoic.engine.buffers import BUFFERS
from echoic.engine.compiled import Compiled
from echoic.engine.execute import Launch, launch
from echoic.engine.frames import backward_frame, forward_frame
from echoic.engine.layout import Timing
from echoic.engine.precision import without_autocast


class Given(NamedTuple):
    """What is run.

    inputs: [N, I] packed, or [T, B, I] where no row is shorter than another: the same rows. They are what the cell's
        ``project`` makes of the inputs where that is no part of its program.
    states: [B, W] state before the first step, in the order of ranks, a tensor a field.
    fresh: the state that a reset gives, likewise; empty without resets.
    parameters: what the step uses.
    """

    inputs: Tensor
    states: Sequence[Tensor]
    fresh: Sequence[Tensor]
    parameters: Sequence[Tensor]

    def contiguous(self) -> Given:
        """The same, but for the parameters, in memory as the engine reads it."""
        states, fresh = [part.contiguous() for part in self.states], [part.contiguous() for part in self.fresh]
        return Given(self.inputs.contiguous(), states, fresh, self.parameters)


class Made(NamedTuple):
    """What a forward pass gives.

    outputs: [N, O], or [T, B, O] for such inputs. last: [B, W] each field of the last state.
    kept: what the backward needs besides, states and gates, in one piece of memory.
    """

    outputs: Tensor
    last: list[Tensor]
    kept: Tensor


class Gradients(NamedTuple):
    """What a backward pass gives.

    inputs: of the inputs' shape; empty if not asked for. states, fresh: of each field [B, W].
    trained: of the recording's trained parameters.
    """

    inputs: Tensor
    states: list[Tensor]
    fresh: list[Tensor]
    trained: list[Tensor]


class Pass(NamedTuple):
    """A cell over a batch of sequences.

    cell: what makes one step. given: what is run. timing: when which rows are run.
    keep: for the backward: "nothing", "gates" (all it needs) or "states" (it computes the gates again).
    """

    cell: Compiled
    given: Given
    timing: Timing
    keep: str


class Pulled(NamedTuple):
    """A pass and the gradients that come back to it.

    forward, made: the pass and what it gave; of ``made`` the last state is not looked at, and the given inputs only
        where the backward needs them.
    pull: of the outputs. pulls: of each field of the last state, None for zeros.
    to_inputs: whether the gradient of the inputs is wanted.
    """

    forward: Pass
    made: Made
    pull: Tensor
    pulls: Sequence[Tensor | None]
    to_inputs: bool


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
    for (cell, given, _, _), (gradients, sums, _) in zip([each.forward for each in passes], prepared, strict=True):
        trained = cell.recording.epilogue.forward(*given.parameters, *sums)
        gradients.trained.extend([gradient.contiguous() for gradient in trained])
    return [gradients for gradients, _, _ in prepared]


def _prepared(each: Pass) -> tuple[Made, Launch]:
    cell, given, timing, keep = each
    inputs, states, fresh, parameters = given.contiguous()
    shape, batch = inputs.shape[:-1], states[0].shape[0]
    rows = shape.numel()
    frame = forward_frame(cell, keep, inputs.dtype)
    operands = frame.prologue.operands(parameters)
    outputs = inputs.new_empty(*shape, cell.output_width)
    whole = len(shape) > 1  # else some rows may take no step, and keep their state
    last = [torch.empty_like(state) if whole else state.clone() for state in states]
    kept = BUFFERS.take(inputs, rows * frame.width)
    addresses = [
        *_addresses(timing),
        inputs.data_ptr(),
        outputs.data_ptr(),
        kept.data_ptr(),
        *[part.data_ptr() for part in states],
        *_of_each(fresh, states),
        *[part.data_ptr() for part in last],
        *operands.addresses,
    ]
    alive = (inputs, outputs, kept, states, fresh, last, operands, timing)
    sizes = (timing.active.shape[0], batch, rows)
    run = Launch(frame.native(operands.strides), sizes, addresses, rows * frame.kernel.work, alive)
    return Made(outputs, last, kept), run


def _addresses(timing: Timing) -> tuple[int, int, int]:
    offsets, active, cleared = timing
    return offsets.data_ptr(), active.data_ptr(), 0 if cleared is None else cleared.data_ptr()


def _of_each(parts: Sequence[Tensor], fields: Sequence[Tensor]) -> list[int]:
    """Where something of each field lies, if it is there."""
    return [part.data_ptr() for part in parts] if parts else [0] * len(fields)


def _prepared_backward(each: Pulled) -> tuple[Gradients, list[Tensor], Launch]:
    """The gradients, without the trained ones; what these are made of; the run that fills them."""
    (cell, given, timing, keep), made, pull, pulls, to_inputs = each
    pull, (inputs, states, fresh, parameters) = pull.contiguous(), given.contiguous()
    shape, batch = pull.shape[:-1], states[0].shape[0]
    rows, whole = shape.numel(), len(shape) > 1
    frame = backward_frame(cell, keep, pull.dtype, to_inputs)
    operands = frame.prologue.operands(parameters)
    pulls = [None if part is None else part.contiguous() for part in pulls]
    of_inputs = pull.new_empty(*shape, cell.input_width) if to_inputs else pull.new_empty(0)
    scratch = BUFFERS.take(pull, rows * frame.width)
    # Rows of no step hand their gradient through
    first = [torch.empty_like(s) if whole else torch.zeros_like(s) if p is None else p.clone()
             for s, p in zip(states, pulls, strict=True)]  # fmt: skip
    freshened = [torch.zeros_like(part) for part in fresh]
    make = pull.new_empty if rows else pull.new_zeros
    sums = [make(shape) for shape, _ in frame.sums]
    addresses = [
        *_addresses(timing),
        inputs.data_ptr(),
        made.outputs.data_ptr(),
        made.kept.data_ptr(),
        *[part.data_ptr() for part in states],
        *_of_each(fresh, states),
        pull.data_ptr(),
        of_inputs.data_ptr(),
        scratch.data_ptr(),
        *[0 if part is None else part.data_ptr() for part in pulls],
        *[part.data_ptr() for part in first],
        *_of_each(freshened, states),
        *operands.addresses,
        *[part.data_ptr() for part in sums],
    ]
    alive = (given, inputs, states, fresh, made, pull, of_inputs, scratch, pulls, first, freshened, sums, operands)
    sizes = (timing.active.shape[0], batch, rows)
    run = Launch(frame.native(operands.strides), sizes, addresses, rows * frame.kernel.work, alive)
    recorded = [part.t() if turned else part for part, (_, turned) in zip(sums, frame.sums, strict=True)]
    return Gradients(of_inputs, first, freshened, []), recorded, run
