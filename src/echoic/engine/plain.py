"""Plain calls of the native engine, with as little Python as can be: rows of one length, no resets.

Of a small layer Python takes longer than the engine. Such a call is nothing but a run of the cell's program: of all
that a call may be, only the state, the parameters and the memory of the results are looked at. Whatever is not as plain
as that goes the usual way (``Native``), which also says what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter, is_
from typing import Any
from weakref import finalize

import torch
from torch import Tensor, nn

from echoic.cells import Cell, observing
from echoic.engine.call import Direction
from echoic.engine.compiled import Compiled, compiled, effective_tensors, options_with_parts, with_products
from echoic.engine.layout import dense_timing
from echoic.engine.onlookers import recording_operators, transforming
from echoic.engine.operators import run_unobserved
from echoic.engine.passes import Form, Pass, step_by_step
from echoic.engine.precision import products
from echoic.engine.record import recording

_About = tuple[torch.dtype, torch.Size, bool, bool]
_about = attrgetter("dtype", "shape", "is_cpu", "requires_grad")


class Known:
    """What a cell was when its program was looked up, and what was settled since for calls of it.

    Attributes:
        step: its program. kind: of its state.
    """

    def __init__(self, cell: Cell, step: Compiled, dtype: torch.dtype) -> None:
        with torch.enable_grad():
            start = cell.initial_state(1)
        self.step, self._dtype, self.kind = step, dtype, type(start)
        self._attributes = _attributes(cell)
        # Zeros that depend on nothing are made once for each size of a batch; nobody writes to them
        constant = not any(part.requires_grad or part.any() for part in start) and next(cell.buffers(), None) is None
        self._zeros: dict[int, Sequence[Tensor] | None] | None = {} if constant else None
        self._parameters: list[_About] = []  # of the last call, and whether any is trained
        self._trained = False
        self._forms: dict[tuple[int, int, bool, str], Form] = {}

    def holds(self, cell: Cell, dtype: torch.dtype) -> bool:
        """Whether the cell is as it was, its parameters apart."""
        attributes = _attributes(cell)
        same = len(attributes) == len(self._attributes) and all(map(is_, attributes, self._attributes))
        return same and dtype is self._dtype

    def over(self, direction: Direction, inputs: Tensor, keep: str) -> Pass | None:
        """The pass over inputs [B, T, I] if it is plain. It keeps nothing where no gradient is wanted."""
        cell, state, fresh, reverse = direction
        batch, steps, width = inputs.shape
        state = fresh if state is None else state
        state = self._own_state(cell, batch) if state is None else self._taken(state, batch)
        parameters = effective_tensors(cell, self.step.recording.parameters)
        about = list(map(_about, parameters))
        if state is None or width != self.step.input_width or (about != self._parameters and not self._fit(about)):
            return None
        if keep != "nothing" and not (self._trained or inputs.requires_grad or any(s.requires_grad for s in state)):
            keep = "nothing"
        which = (batch, steps, reverse, keep)
        return Pass(self._forms.get(which) or self._settled(*which), [inputs, *state, *parameters])

    def _own_state(self, cell: Cell, batch: int) -> Sequence[Tensor] | None:
        """The cell's own state before the first step, where the engine takes it as it is."""
        if self._zeros is None:
            return self._taken(cell.initial_state(batch), batch)
        state = self._zeros.get(batch)
        if state is None:
            if len(self._zeros) >= 16:
                self._zeros.clear()
            with torch.inference_mode(False):  # for calls with gradients, too
                state = self._zeros[batch] = self._taken(cell.initial_state(batch), batch)
        return state

    def _taken(self, state: Sequence[Tensor], batch: int) -> Sequence[Tensor] | None:
        """A state if the engine takes it as it is, else None."""
        if len(state) != len(self.step.widths):
            return None
        for part, width in zip(state, self.step.widths, strict=True):
            if part.dtype is not self._dtype or part.shape != (batch, width):
                return None
            if not (part.is_contiguous() and part.is_cpu):
                return None
        return state

    def _fit(self, parameters: list[_About]) -> bool:
        """Whether parameters are such as the program was made for."""
        for (dtype, found, is_cpu, _), shape in zip(parameters, self.step.recording.shapes, strict=True):
            if dtype is not self._dtype or found != shape or not is_cpu:
                return False
        self._trained = any(requires_grad for *_, requires_grad in parameters)
        self._parameters = parameters
        return True

    def _settled(self, batch: int, steps: int, reverse: bool, keep: str) -> Form:
        if len(self._forms) >= 64:
            self._forms.clear()
        timing, shape = dense_timing(steps, batch, reverse), torch.Size((batch, steps))
        form = Form(self.step, timing, keep, self._dtype, shape, batch)
        self._forms[batch, steps, reverse, keep] = form
        return form


def _attributes(module: nn.Module) -> list[Any]:
    """All that a module and those in it have."""
    found = [*module.__dict__.values()]
    for part in module._modules.values():
        found.append(part)
        if part is not None:
            found += _attributes(part)
    return found


_known: dict[int, dict[int, Known]] = {}  # of each cell, by what matmuls multiply


def run(directions: Sequence[Direction], inputs: Tensor, keep: str) -> list[tuple[Tensor, Any]] | None:
    """Of each direction outputs [B, T, O] over inputs [B, T, I] and the last state; None where a call is not plain.

    keep: for the backward, if there is one: "gates" or "states".
    """
    if recording_operators() or transforming() or recording() is not None or observing() or inputs.numel() == 0:
        return None
    if type(inputs) is not Tensor or inputs.dim() != 3 or not inputs.is_cpu or torch.is_autocast_enabled("cpu"):
        return None
    dtype, multiplied = inputs.dtype, products(inputs)
    if not torch.is_grad_enabled():
        keep = "nothing"
    passes, kinds = [], []
    for each in directions:
        known = _known_of(each.cell, dtype, multiplied)
        over = None if known is None else known.over(each, inputs, keep)
        if known is None or over is None:
            return None
        passes.append(over)
        kinds.append(known.kind)
    if not _lies_step_by_step(inputs):
        inputs = step_by_step(inputs)  # once for both directions
        for over in passes:
            over.tensors[0] = inputs
    return [(outputs, kind(*last)) for kind, (outputs, last) in zip(kinds, run_unobserved(passes), strict=True)]


def _lies_step_by_step(inputs: Tensor) -> bool:
    """Whether [B, T, I] is contiguous as [T, B, I]: then nothing is transposed, which autograd would note."""
    (batch, steps, width), (by_row, by_step, by_column) = inputs.shape, inputs.stride()
    return (
        (by_column == 1 or width == 1) and (by_row == width or batch == 1) and (by_step == batch * width or steps == 1)
    )


def _known_of(cell: Cell, dtype: torch.dtype, multiplied: int) -> Known | None:
    """What is known of a cell, looked up anew if it is no longer as it was; None where it is not a plain one."""
    known = _known.get(id(cell), {}).get(multiplied)
    if known is not None and known.holds(cell, dtype):
        return known
    if dtype not in (torch.float32, torch.float64) or options_with_parts(cell) is None:
        return None
    step = with_products(compiled(cell), multiplied)
    if isinstance(step, str) or step.recording.apart is not None:
        return None
    if id(cell) not in _known:
        finalize(cell, _known.pop, id(cell), None)
    found = Known(cell, step, dtype)
    _known.setdefault(id(cell), {})[multiplied] = found
    return found
