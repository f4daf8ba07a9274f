"""Cells over packed sequences by the native engine, forward and backward: numbers in, numbers out, no graph.

Several passes, the two directions of a layer, are done side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from echoic.engine.buffers import BUFFERS
from echoic.engine.compiled import PACKED, Compiled
from echoic.engine.deferred import memory_for_sums
from echoic.engine.execute import Launch, address, launch, prepare
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
        states, fresh = ([part.contiguous() for part in parts] for parts in (self.states, self.fresh))
        return Given(self.inputs.contiguous(), states, fresh, self.parameters)


class Made(NamedTuple):
    """What a forward pass gives.

    outputs: [N, O], or [T, B, O] for such inputs. last: [B, W] each field of the last state.
    kept: each field after every step [N, W] where the backward needs it; else an empty tensor, as for the field that is
        the output itself. saved: [N, S] the gates that the backward needs.
    """

    outputs: Tensor
    last: list[Tensor]
    kept: list[Tensor]
    saved: Tensor


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
    for (made, _), (cell, _, _, keep) in zip(prepared, passes, strict=True):
        if keep != "nothing" and cell.aliased is not None:
            made.kept[cell.aliased] = made.outputs.new_empty(0, cell.output_width)
    return [made for made, _ in prepared]


@without_autocast
def backward(passes: Sequence[Pulled]) -> list[Gradients]:
    """The gradients of ``forward``."""
    prepared = [_prepared_backward(each) for each in passes]
    launch([run for *_, run in prepared])
    found = []
    for each, (gradients, totals, _) in zip(passes, prepared, strict=True):
        trained = each.forward.cell.recording.epilogue.forward(*each.forward.given.parameters, *totals)
        found.append(gradients._replace(trained=[gradient.contiguous() for gradient in trained]))
    return found


def kept_rows(cell: Compiled, keep: str, rows: int) -> list[int]:
    """Rows of each field that are kept after every step."""
    return [rows if keep != "nothing" and needed else 0 for needed in cell.kept(keep)]


def _prepared(each: Pass) -> tuple[Made, Launch]:
    cell, given, timing, keep = each
    inputs, states, _, parameters = given = given.contiguous()
    shape, batch = inputs.shape[:-1], states[0].shape[0]
    rows = shape.numel()
    outputs = inputs.new_empty(*shape, cell.output_width)
    whole = len(shape) > 1  # else some rows may take no step, and keep their state
    last = [torch.empty_like(state) if whole else state.clone() for state in states]
    kept = [
        outputs if i == cell.aliased else BUFFERS.take(inputs, size, width)
        for i, (size, width) in enumerate(zip(kept_rows(cell, keep, rows), cell.widths, strict=True))
    ]
    saved = BUFFERS.take(inputs, rows if keep == "gates" else 0, cell.saved_width)
    kernel = cell.kernel("forward" if keep == "gates" else "inference", inputs.dtype)
    arrays = {"input": inputs, "output": outputs, "saved": saved}
    operands = cell.prologue.operands(parameters, kernel.vectors, kernel.matrices)
    run = prepare(kernel, (rows, batch), timing, arrays, _held(cell, given, kept, last), [], operands, (given,))
    return Made(outputs, last, kept, saved), run


def _held(cell: Compiled, given: Given, kept: Sequence[Tensor], last: Sequence[Tensor]) -> list[tuple[int, ...]]:
    """Each field of the state as the engine takes it. last: none where nobody asks."""
    return [
        (width, address(given.states, i), address(given.fresh, i), address(kept, i), width, address(last, i))
        for i, width in enumerate(cell.widths)
    ]


def _prepared_backward(each: Pulled) -> tuple[Gradients, list[Tensor], Launch]:
    """The gradients, without the trained ones; what these are made of; the run that fills them."""
    (cell, given, timing, keep), made, pull, pulls, to_inputs = each
    pull, given = pull.contiguous(), given.contiguous()
    inputs, states, fresh, parameters = given
    shape, batch = pull.shape[:-1], states[0].shape[0]
    rows, whole = shape.numel(), len(shape) > 1
    pulls = [None if part is None else part.contiguous() for part in pulls]
    after = [made.outputs if i == cell.aliased else part for i, part in enumerate(made.kept)]
    kernel = cell.kernel("recompute" if keep == "states" else "backward", pull.dtype, to_inputs)
    of_inputs = pull.new_empty(*shape, cell.input_width) if to_inputs else pull.new_empty(0)
    arrays = {"grad.output": pull, "saved": made.saved, "grad.input": of_inputs, "input": inputs}
    for port in kernel.ports:
        if port.role == PACKED and port.name not in arrays:
            arrays[port.name] = BUFFERS.take(pull, rows, port.width)
    # Rows of no step hand their gradient through
    first = [torch.empty_like(s) if whole else torch.zeros_like(s) if p is None else p.clone()
             for s, p in zip(states, pulls, strict=True)]  # fmt: skip
    freshened = [torch.zeros_like(part) for part in fresh]
    gradients = [
        (width, 0 if part is None else part.data_ptr(), first[i].data_ptr(), address(freshened, i))
        for i, (part, width) in enumerate(zip(pulls, cell.widths, strict=True))
    ]
    operands = cell.prologue.operands(parameters, kernel.vectors, kernel.matrices)
    totals, sums = memory_for_sums(cell.sums, kernel.totals, arrays, rows)
    held, alive = _held(cell, given, after, []), (given, pulls, after)
    run = prepare(kernel, (rows, batch), timing, arrays, held, gradients, operands, alive, sums)
    return Gradients(of_inputs, first, freshened, []), totals, run
