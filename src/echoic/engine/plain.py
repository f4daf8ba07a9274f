"""Plain calls of the native engine, with as little Python as can be: rows of one length, no resets.

Of a small layer Python takes longer than the engine. Such a call is nothing but a run of the cell's program: of all
that a call may be, only the state, the parameters and the memory of the results are looked at. Whatever is not as plain
as that goes the usual way (``Native``), which also says what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_
from typing import Any, NamedTuple
from weakref import finalize

import torch
from torch import Tensor

from echoic.cells import Cell, observing
from echoic.engine.compiled import (
    PACKED,
    Compiled,
    compiled,
    compiled_by_key,
    effective_tensors,
    key_with,
    plain_options,
)
from echoic.engine.execute import Launch, launch
from echoic.engine.layout import Timing, dense_steps
from echoic.engine.onlookers import recording_operators, transforming
from echoic.engine.operators import Asked, How
from echoic.engine.operators import run as run_with_gradients
from echoic.engine.passes import Given
from echoic.engine.precision import products
from echoic.engine.record import recording


class Plain(NamedTuple):
    """A cell, its state before the first step (None for its own), and whether it goes from last to first step."""

    cell: Cell
    state: Sequence[Tensor] | None
    reverse: bool


class Known:
    """What a cell was when its program was looked up, and what follows from it.

    Attributes:
        step, kernel: its step, and the program that runs where no gradient is asked for.
        dtype: of all numbers.
        kind: of its state.
    """

    def __init__(self, cell: Cell, step: Compiled, dtype: torch.dtype) -> None:
        self.step, self.kernel, self.dtype = step, step.kernel("inference", dtype), dtype
        self.kind = type(cell.initial_state(1))
        self._attributes = tuple(cell.__dict__.values())

    def holds(self, cell: Cell, dtype: torch.dtype) -> bool:
        """Whether the cell is as it was, its parameters apart."""
        attributes = cell.__dict__.values()
        same = len(attributes) == len(self._attributes) and all(map(is_, attributes, self._attributes))
        return same and not cell._modules and dtype is self.dtype


class Ready(NamedTuple):
    """A call that was found to be plain: what is known of the cell, its state, its parameters, when rows are run."""

    known: Known
    state: Sequence[Tensor]
    parameters: Sequence[Tensor]
    timing: Timing


_known: dict[int, dict[int, Known]] = {}  # of each cell, by what matmuls multiply


def run(plain: Sequence[Plain], inputs: Tensor, keep: str) -> list[tuple[Tensor, Any]] | None:
    """Outputs [T, B, O] and the last state of cells over inputs [T, B, I]; None where a call is not plain.

    keep: for the backward, if there is one: "gates" or "states".
    """
    if recording_operators() or transforming() or recording() is not None or observing() or inputs.numel() == 0:
        return None
    if type(inputs) is not Tensor or not inputs.is_cpu or torch.is_autocast_enabled("cpu"):
        return None
    multiplied, inputs = products(inputs), inputs.contiguous()
    found = [_ready(each, inputs, multiplied) for each in plain]
    ready = [each for each in found if each is not None]
    if len(ready) < len(found):
        return None
    if torch.is_grad_enabled():
        results = run_with_gradients([_asked(each, inputs, keep) for each in ready])
        return [(outputs, each.known.kind(*last)) for each, (outputs, last) in zip(ready, results, strict=True)]
    prepared = [_prepared(each, inputs) for each in ready]
    launch([each for _, _, each in prepared])
    return [(outputs, last) for outputs, last, _ in prepared]


def _ready(plain: Plain, inputs: Tensor, multiplied: int) -> Ready | None:
    cell, state, reverse = plain
    known = _known_of(cell, inputs.dtype, multiplied)
    if known is None:
        return None
    steps, batch, _ = inputs.shape
    state = cell.initial_state(batch) if state is None else state
    if len(state) != len(known.step.widths):
        return None
    for part, width in zip(state, known.step.widths, strict=True):
        if part.dtype is not known.dtype or part.shape != (batch, width) or not (part.is_contiguous() and part.is_cpu):
            return None
    parameters = effective_tensors(cell, known.step.recording.parameters)
    if any(p.dtype is not known.dtype or not p.is_cpu for p in parameters):
        return None
    return Ready(known, state, parameters, Timing(*dense_steps(steps, batch, reverse), None))


def _asked(ready: Ready, inputs: Tensor, keep: str) -> Asked:
    known, state, parameters, timing = ready
    recorded = any(tensor.requires_grad for tensor in (inputs, *state, *parameters))
    how = How(timing, known.step.key, keep if recorded else "nothing", None)
    return Asked(Given(inputs, state, [], parameters), how)


def _prepared(ready: Ready, inputs: Tensor) -> tuple[Tensor, Any, Launch]:
    """Outputs, last state and the run that fills them."""
    known, state, parameters, (offsets, active, _) = ready
    step, kernel = known.step, known.kernel
    operands = step.prologue.operands(parameters, kernel.vectors, kernel.matrices)
    steps, batch, _ = inputs.shape
    outputs = inputs.new_empty(steps, batch, step.output_width)
    last = [torch.empty_like(part) for part in state]
    at = {"input": inputs.data_ptr(), "output": outputs.data_ptr()}
    ports = [(p.role, 0, at[p.name], p.width) if p.role == PACKED else (p.role, p.index, 0, 0) for p in kernel.ports]
    held = [
        (width, part.data_ptr(), 0, at["output"] if i == step.aliased else 0, width, last[i].data_ptr())
        for i, (part, width) in enumerate(zip(state, step.widths, strict=True))
    ]
    rows = steps * batch
    before = ((steps, batch, rows), (offsets.data_ptr(), active.data_ptr(), 0), False)
    after = (ports, held, [], operands.vectors, operands.matrices, [], [])
    alive = (inputs, outputs, ready, operands, last)
    return outputs, known.kind(*last), Launch(kernel.native, before, after, rows * kernel.work, alive)


def _known_of(cell: Cell, dtype: torch.dtype, multiplied: int) -> Known | None:
    """What is known of a cell, looked up anew if it is no longer as it was; None where it is not a plain one."""
    known = _known.get(id(cell), {}).get(multiplied)
    if known is not None and known.holds(cell, dtype):
        return known
    if dtype not in (torch.float32, torch.float64) or cell._modules or plain_options(cell) is None:
        return None
    step = compiled(cell)
    if isinstance(step, str) or step.recording.apart is not None:
        return None
    if id(cell) not in _known:
        finalize(cell, _known.pop, id(cell), None)
    found = Known(cell, compiled_by_key(key_with(step.key, multiplied)), dtype)
    _known.setdefault(id(cell), {})[multiplied] = found
    return found
