"""Cells over packed sequences by the native engine, forward and backward: numbers in, numbers out, no graph.

Several passes, the two directions of a layer, are done side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from echoic.engine.buffers import BUFFERS, numbers_from
from echoic.engine.compiled import Compiled
from echoic.engine.execute import Launch, launch
from echoic.engine.frames import Frame, again_frame, backward_frame, forward_frame
from echoic.engine.layout import Timing
from echoic.engine.precision import without_autocast


class Given(NamedTuple):
    """What is run, all but the parameters contiguous; a pass has these tensors in one list.

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


class Form:
    """A cell over a batch of sequences, without the numbers: what calls that are alike have in common.

    Tensors that a pass is given, and gradients of them, are in the order of ``Given``.

    Args:
        cell: what makes one step. timing: when which rows are run.
        keep: for the backward: "nothing", "gates" (all it needs) or "states" (it computes the gates again).
        dtype: of all numbers. shape: of the inputs but for their width, [N] or [B, T]. batch: B.

    Attributes:
        fields: of the state. resets: fresh ones of a reset. parameters: where they begin. tensors: all of them.
    """

    def __init__(
        self, cell: Compiled, timing: Timing, keep: str, dtype: torch.dtype, shape: torch.Size, batch: int
    ) -> None:
        self.cell, self.timing, self.keep, self.dtype = cell, timing, keep, dtype
        self.shape, self.batch = shape, batch
        self.fields = len(cell.fields)
        self.resets = 0 if timing.cleared is None else self.fields
        self.parameters = 1 + self.fields + self.resets
        self.tensors = self.parameters + len(cell.recording.parameters)

    def given(self, tensors: Sequence[Tensor]) -> Given:
        """The tensors of a pass in their places."""
        states, fresh, parameters = 1 + self.fields, self.parameters, self.tensors
        return Given(tensors[0], tensors[1:states], tensors[states:fresh], tensors[fresh:parameters])

    @cached_property
    def run(self) -> _Run:
        """What the engine is given in each of these calls."""
        return _Run(self)


class Pass(NamedTuple):
    """A cell over a batch of sequences.

    form: all but the numbers; it keeps "nothing" where no gradient is wanted. tensors: the numbers.
    known: the outputs, where the pass was run before and only "gates" are lacking; else None. Of a cell whose output is
        a field of the state the steps then no longer wait for each other's matmuls.
    project_again: makes the inputs anew with their graph, for gradients of gradients, where they are projected ones
        that need not be kept; else None.
    """

    form: Form
    tensors: list[Tensor]
    known: Tensor | None = None
    project_again: Callable[[], Tensor] | None = None


def pass_over(
    cell: Compiled,
    given: Given,
    timing: Timing,
    keep: str,
    known: Tensor | None = None,
    project_again: Callable[[], Tensor] | None = None,
) -> Pass:
    """A pass with a form of its own; the arguments as those of ``Form`` and ``Pass``."""
    inputs, states, fresh, parameters = given
    form = Form(cell, timing, keep, inputs.dtype, inputs.shape[:-1], states[0].shape[0])
    return Pass(form, [inputs, *states, *fresh, *parameters], known, project_again)


class Made(NamedTuple):
    """What a forward pass gives.

    outputs: [N, O], or [B, T, O] for such inputs and in memory like them. last: [B, W] each field of the last state.
    kept: what the backward needs besides, states and gates, in one piece of memory; None where that is nothing.
    """

    outputs: Tensor
    last: Sequence[Tensor]
    kept: Tensor | None


class Pulled(NamedTuple):
    """A pass and the gradients that come back to it.

    form, tensors: of the pass, the inputs only where the backward needs them. outputs, kept: what it gave.
    pull: of the outputs. pulls: of each field of the last state, None for zeros.
    to_inputs, to_states: whether the gradients of the inputs, of the states before the first step are wanted.
    """

    form: Form
    tensors: Sequence[Tensor]
    outputs: Tensor
    kept: Tensor | None
    pull: Tensor
    pulls: Sequence[Tensor | None]
    to_inputs: bool
    to_states: bool


Gradients = list[Tensor | None]  # of a pass's tensors in their order; None where they are not wanted or there are none


def forward(passes: Sequence[Pass]) -> list[Made]:
    """Run cells."""
    made, launches = [], []
    for form, tensors, known, _ in passes:
        one, run = form.run.forward(tensors, known)
        made.append(one)
        launches.append(run)
    launch(launches)
    return made


@without_autocast
def backward(passes: Sequence[Pulled]) -> list[Gradients]:
    """The gradients of ``forward``."""
    found, launches = [], []
    for each in passes:
        gradients, back, sums, run = each.form.run.backward(each)
        found.append((gradients, back, sums))
        launches.append(run)
    launch(launches)
    return [
        gradients + back.trained(each.tensors[each.form.parameters :], sums)
        for each, (gradients, back, sums) in zip(passes, found, strict=True)
    ]


class _Run:
    """What the engine is given for passes of a form."""

    def __init__(self, form: Form) -> None:
        self._cell, self._timing, self._keep, self._dtype = form.cell, form.timing, form.keep, form.dtype
        self._shape, self._rows = form.shape, form.shape.numel()
        self._whole = len(form.shape) > 1  # else some rows may take no step, and keep their state
        self._sizes = (form.timing.active.shape[0], form.batch, self._rows)
        self._states, self._parameters = 1 + form.fields, form.parameters
        self._no_field = [None] * form.fields
        self._not_fresh = [] if form.resets else self._no_field  # for places of fresh states
        self._frame = forward_frame(form.cell, form.keep, form.dtype)
        self._outputs = self._rows_of(form.cell.output_width)
        self._backs: dict[bool, _Back] = {}  # by whether they go on to the inputs

    def forward(self, tensors: Sequence[Tensor], known: Tensor | None) -> tuple[Made, Launch]:
        """What a pass will give, and the run that makes it."""
        inputs, before = tensors[0], ()
        if known is None or self._cell.aliased is None:
            frame, outputs = self._frame, inputs.new_empty_strided(*self._outputs)
        else:
            frame, outputs = again_frame(self._cell, self._dtype), known
            before = (self._before(outputs, tensors, self._cell.aliased),)
        last = [torch.empty_like(state) if self._whole else state.clone() for state in tensors[1 : self._states]]
        kept = numbers_from(BUFFERS, inputs, self._rows * frame.width) if frame.width else None
        operands, strides, alive = frame.prologue.operands(tensors[self._parameters :])
        arrays = [*self._timing, inputs, outputs, kept, *tensors[1 : self._parameters], *self._not_fresh,
                  *last, *before, *operands]  # fmt: skip
        run = frame.native(strides), self._sizes, self._rows * frame.work, arrays, alive
        return Made(outputs, last, kept), run

    def backward(self, pulled: Pulled) -> tuple[Gradients, _Back, list[Tensor], Launch]:
        """The gradients of all but the parameters; what makes these of sums; the sums; the run that fills all of it."""
        _, tensors, outputs, kept, pull, pulls, to_inputs, to_states = pulled
        whole, back = self._whole, self._backs.get(to_inputs) or self._back(to_inputs)
        frame = back.frame
        pull = pull.transpose(0, 1).contiguous() if whole else pull.contiguous()
        pulls = [None if part is None else part.contiguous() for part in pulls]
        of_inputs = pull.new_empty_strided(*self._of_inputs) if to_inputs else None
        first = self._no_field
        if to_states:  # rows of no step hand their gradient through
            first = [torch.empty_like(s) if whole else torch.zeros_like(s) if p is None else p.clone()
                     for s, p in zip(tensors[1 : self._states], pulls, strict=True)]  # fmt: skip
        fresh = [torch.zeros_like(part) for part in tensors[self._states : self._parameters]]
        make = pull.new_empty if self._rows else pull.new_zeros
        sums = [make(shape) for shape in back.sums]
        scratch = BUFFERS.take(self._rows * frame.width * pull.itemsize)
        operands, strides, alive = frame.prologue.operands(tensors[self._parameters :])
        arrays = [*self._timing, tensors[0], outputs, kept, *tensors[1 : self._parameters], *self._not_fresh,
                  pull, of_inputs, scratch, *pulls, *first, *fresh, *self._not_fresh, *operands, *sums]  # fmt: skip
        run = frame.native(strides), self._sizes, self._rows * frame.work, arrays, alive
        return [of_inputs, *first, *fresh], back, sums, run

    def _back(self, to_inputs: bool) -> _Back:
        frame = backward_frame(self._cell, self._keep, self._dtype, to_inputs)
        self._backs[to_inputs] = back = _Back(self._cell, frame)
        return back

    def _before(self, outputs: Tensor, tensors: Sequence[Tensor], field: int) -> Tensor:
        """[N, O] rows of a field of the state before each step, which after it are outputs [N, O] or [B, T, O]."""
        offsets, active, cleared = self._timing
        outputs = outputs.transpose(0, 1).flatten(0, 1) if self._whole else outputs
        step = torch.arange(len(active)).repeat_interleave(active)
        rank = torch.arange(len(step)) - (active.cumsum(0) - active)[step]
        rows, begins = offsets[step] + rank, int(active[:1].sum())
        found = torch.empty_like(outputs)
        found[rows[:begins]] = tensors[1 + field][:begins]
        found[rows[begins:]] = outputs[offsets[step[begins:] - 1] + rank[begins:]]
        if cleared is not None:
            anew = cleared[rows].bool()
            found[rows[anew]] = tensors[self._states + field][rank[anew]]
        return found

    @cached_property
    def _of_inputs(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return self._rows_of(self._cell.input_width)

    def _rows_of(self, width: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Sizes and strides of rows of such a width, for [B, T] in memory step by step.

        A transpose would be a view, whose numbers nobody may change in place once it comes out of an autograd function.
        """
        sizes = (*self._shape, width)
        return sizes, (width, sizes[0] * width, 1) if self._whole else (width, 1)


class _Back:
    """What a backward makes of its sums.

    Attributes:
        frame: the run that fills them. sums: their shapes.
    """

    def __init__(self, cell: Compiled, frame: Frame) -> None:
        self.frame, self._recording = frame, cell.recording
        self.sums = [shape for shape, _ in frame.sums]
        self._turned = [which for which, (_, turned) in enumerate(frame.sums) if turned]
        # Of each parameter which sum its gradient is, if any; None where the epilogue makes something of the sums
        self._places: list[int | None] | None = None
        if cell.handed_through is not None:
            which = dict(zip(self._recording.trained, cell.handed_through, strict=True))
            self._places = [which.get(position) for position in range(len(self._recording.parameters))]

    def trained(self, parameters: Sequence[Tensor], sums: list[Tensor]) -> Gradients:
        """The gradients of the parameters."""
        for which in self._turned:
            sums[which] = sums[which].t()
        if self._places is not None:
            return [None if which is None else sums[which].contiguous() for which in self._places]
        found: Gradients = [None] * len(parameters)
        made = self._recording.epilogue.forward(*parameters, *sums)
        for position, gradient in zip(self._recording.trained, made, strict=True):
            found[position] = gradient.contiguous()
        return found
