"""Runs of the native engine, laid out once: calls of all sizes differ in where their arrays lie alone.

A call gives the engine a list of arrays, in an order that is settled here (``native/python/frame.h``). What only the
engine sees lies in one piece of memory for what a forward keeps and one for the scratch of a backward, an area for each
array.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch

import echoic._native as engine
from echoic.engine.compiled import PACKED, Compiled, Kernel
from echoic.engine.execute import use_openmp_of_torch
from echoic.engine.operands import Prologue

NOWHERE = -1
# The first arrays of a call. Then come, field by field, the state before the first step and the fresh one.
OFFSETS, ACTIVE, CLEARED, INPUT, OUTPUT, KEPT, FIELDS = range(7)
# After them in a run forward: each field of the last state, vectors, matrices. In one backward: these, of each field
# the gradients of the last state, of the first and of the fresh one, then vectors, matrices, sums. In one that goes
# through known outputs again the output before each step stands ahead of the vectors.
PULL, TO_INPUT, SCRATCH, PULLS = range(4)

Strides = tuple[tuple[int, int], ...]  # of the rows and columns of each matrix


class Frame:
    """A kernel with all that its runs have in common.

    Args:
        kernel: what is run. prologue: makes its parameters.
        width: numbers of a row in the memory that a run fills: what a forward keeps, or scratch of a backward.
        sums: shapes of the sums that a backward fills, in the order of the recording's, and whether they are transposes
            of these.
        lay_out: the engine's own form for matrices of some strides.
    """

    def __init__(
        self,
        kernel: Kernel,
        prologue: Prologue,
        width: int,
        sums: Sequence[tuple[tuple[int, ...], bool]],
        lay_out: Callable[[Strides], engine.Frame],
    ) -> None:
        self.work, self.prologue, self.width, self.sums = kernel.work, prologue, width, tuple(sums)
        self._lay_out = lay_out
        self._native: dict[Strides, engine.Frame] = {}

    def native(self, strides: Strides) -> engine.Frame:
        """The engine's own form."""
        found = self._native.get(strides)
        if found is None:
            use_openmp_of_torch()  # before the first run
            found = self._native[strides] = self._lay_out(strides)
        return found


def kept_width(cell: Compiled, keep: str) -> int:
    """Numbers that a forward keeps of a row: fields that the backward needs, but the output itself, and gates."""
    _, areas, _ = _states(cell, keep, NOWHERE)
    return sum(width for _, width in areas)


@cache
def forward_frame(cell: Compiled, keep: str, dtype: torch.dtype) -> Frame:
    """Of a run that keeps "nothing", "gates" or "states" for the backward."""
    return _forward_frame(cell, keep, cell.kernel("forward" if keep == "gates" else "inference", dtype))


@cache
def again_frame(cell: Compiled, dtype: torch.dtype) -> Frame:
    """Of a run that finds what a forward with "gates" keeps, where the outputs are known and a field of the state."""
    return _forward_frame(cell, "gates", cell.kernel("again", dtype), more=["before"])


def _forward_frame(cell: Compiled, keep: str, kernel: Kernel, more: Sequence[str] = ()) -> Frame:
    """more: arrays that stand after the last state."""
    count = len(cell.fields)
    last, after = FIELDS + 2 * count, FIELDS + 3 * count
    states, areas, gates = _states(cell, keep, last)
    arrays = {"input": INPUT, "output": OUTPUT, **gates, **{name: after + i for i, name in enumerate(more)}}

    def lay_out(strides: Strides) -> engine.Frame:
        places = _ports(kernel, arrays), states, [], *_parameters(kernel, after + len(more), strides)
        return engine.Frame(kernel.native, False, *places, [], [], areas)

    return Frame(kernel, _prologue(cell, kernel), kept_width(cell, keep), (), lay_out)


@cache
def backward_frame(cell: Compiled, keep: str, dtype: torch.dtype, to_inputs: bool) -> Frame:
    """Of the run backward after such a forward. to_inputs: whether it goes on to the inputs."""
    kernel = cell.kernel("recompute" if keep == "states" else "backward", dtype, to_inputs)
    count = len(cell.fields)
    after = FIELDS + 2 * count
    pulls = after + PULLS
    vectors = pulls + 3 * count
    sums = vectors + len(kernel.vectors) + len(kernel.matrices)
    states, areas, gates = _states(cell, keep, NOWHERE)
    arrays = {"input": INPUT, "output": OUTPUT, **gates,
              "grad.output": after + PULL, "grad.input": after + TO_INPUT}  # fmt: skip
    scratch = [port for port in kernel.ports if port.role == PACKED and port.name not in arrays]
    for port in scratch:
        arrays[port.name] = _area(len(areas))
        areas.append((after + SCRATCH, port.width))
    gradients = [(width, pulls + i, pulls + count + i, pulls + 2 * count + i) for i, width in enumerate(cell.widths)]
    shapes, of_arrays = _sums(cell, arrays, sums)
    totals = [sums + which for which, _ in kernel.totals]
    shapes |= {which: ((width,), False) for which, width in kernel.totals}

    def lay_out(strides: Strides) -> engine.Frame:
        places = _ports(kernel, arrays), states, gradients, *_parameters(kernel, vectors, strides)
        return engine.Frame(kernel.native, True, *places, of_arrays, totals, areas)

    width = sum(port.width for port in scratch)
    return Frame(kernel, _prologue(cell, kernel), width, [shapes[which] for which in range(len(shapes))], lay_out)


def _prologue(cell: Compiled, kernel: Kernel) -> Prologue:
    return Prologue(cell.recording.prologue, cell.recording.shapes, kernel.vectors, kernel.matrices)


def _area(index: int) -> int:
    """The place that means an area."""
    return -2 - index


def _states(
    cell: Compiled, keep: str, last: int
) -> tuple[list[tuple[int, ...]], list[tuple[int, int]], dict[str, int]]:
    """The fields of the state for the engine, the areas of what is kept, and the places of the gates by name.

    last: the place of the first field after the last step, or NOWHERE.
    """
    states, areas, count = [], [], len(cell.fields)
    for i, width in enumerate(cell.widths):
        if i == cell.aliased:
            kept = OUTPUT
        elif keep != "nothing" and cell.kept(keep)[i]:
            kept = _area(len(areas))
            areas.append((KEPT, width))
        else:
            kept = NOWHERE
        at_last = NOWHERE if last == NOWHERE else last + i
        states.append((width, FIELDS + i, FIELDS + count + i, kept, width, at_last))
    gates = {}
    for name, width in cell.programs.saved.items() if keep == "gates" else ():
        gates[name] = _area(len(areas))
        areas.append((KEPT, width))
    return states, areas, gates


def _ports(kernel: Kernel, arrays: dict[str, int]) -> list[tuple[int, ...]]:
    return [
        (p.role, 0, arrays[p.name], p.width) if p.role == PACKED else (p.role, p.index, NOWHERE, 0)
        for p in kernel.ports
    ]


def _parameters(kernel: Kernel, first: int, strides: Strides) -> tuple[list[int], list[tuple[int, ...]]]:
    """The vectors and matrices, from a place on."""
    matrices = first + len(kernel.vectors)
    return list(range(first, matrices)), [(matrices + i, *each, NOWHERE) for i, each in enumerate(strides)]


def _sums(
    cell: Compiled, arrays: dict[str, int], first: int
) -> tuple[dict[int, tuple[tuple[int, ...], bool]], list[tuple[Any, ...]]]:
    """The shapes of the sums at the end and whether they are turned, by which of the recording's they are, and the sums
    for the engine."""
    shapes: dict[int, tuple[tuple[int, ...], bool]] = {}
    found = []
    for left, left_width, right, right_width, state, outer, columns, turned, groups in cell.sums:
        if outer >= 0:
            shapes[outer] = (left_width, right_width), turned
        if columns >= 0:
            shapes[columns] = (left_width,), False
        at_right = arrays[right] if right and state < 0 else NOWHERE
        to = (first + which if which >= 0 else NOWHERE for which in (outer, columns))
        found.append((arrays[left], left_width, at_right, right_width, state, *to, groups))
    return shapes, found
