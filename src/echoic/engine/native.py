"""The native engine as a backend: any cell whose step is a program, on CPUs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor

from echoic.cells import Cell, observing
from echoic.engine.call import Call
from echoic.engine.compiled import compiled, compiled_before, effective_tensors
from echoic.engine.layout import Layout, cleared_before
from echoic.engine.precision import numbers, products, without_autocast
from echoic.engine.record import recording
from echoic.engine.segments import run_in_segments

BUILT = find_spec("echoic._native") is not None  # whether the extension module is there
if BUILT:
    from echoic.engine import operators, passes
    from echoic.engine.execute import check_forced_instruction_set

    check_forced_instruction_set()


class Native:
    """The native engine: any cell, its step as a program."""

    name = "native"
    reads_padding = False

    def refusal(self, cell: Cell, call: Call) -> str | None:
        if not BUILT:
            return "the native engine is not built here (pip install builds it where there is a C++ compiler)"
        if not call.inputs.is_cpu:
            return f"the native engine runs on CPUs, not on {call.inputs.device.type}"
        asked = numbers(call.inputs)
        if asked not in (torch.float32, torch.float64):
            return "the native engine calculates in float32 and float64 alone"
        if not torch.compiler.is_compiling() and (recording() is not None or observing()):
            return "the steps are being observed one by one"
        step = compiled(cell)
        if isinstance(step, str):
            return f"{type(cell).__name__} is no program: {step}"
        tensors = effective_tensors(cell, step.recording.parameters)
        if any(p.dtype != asked and p.is_floating_point() for p in tensors):
            return "the cell's parameters have another type than the inputs"
        return None

    def run(self, cell: Cell, call: Call) -> tuple[Tensor, Any]:
        return self.run_together([cell], [call])[0]

    def run_together(self, cells: Sequence[Cell], calls: Sequence[Call]) -> list[tuple[Tensor, Any]]:
        """Calls that differ in cell, state and direction alone, side by side; in segments one after the other."""
        multiplied = products(calls[0].inputs)
        if torch.is_autocast_enabled("cpu"):
            calls = [_in_full(call) for call in calls]
        pieces = [_Piece(cell, call, cleared_before(call), multiplied) for cell, call in zip(cells, calls, strict=True)]
        memory = calls[0].memory if torch.is_grad_enabled() else "store"
        if memory == "checkpoint":
            return [_checkpoint(piece) for piece in pieces]
        return _run(pieces, KEEP[memory])


def _in_full(call: Call) -> Call:
    """A call without the shorter numbers that autocast made."""
    asked = numbers(call.inputs)
    state, fresh = (type(state)(*(part.to(asked) for part in state)) for state in (call.state, call.fresh))
    return call._replace(inputs=call.inputs.to(asked), state=state, fresh=fresh)


class _Piece(NamedTuple):
    """A call in one piece.

    cleared: [T, B] rows whose state is fresh before a step, or None.
    products: what matmuls multiply.
    known: [T, B, O] the outputs, where it was run before; or None.
    """

    cell: Cell
    call: Call
    cleared: Tensor | None
    products: int
    known: Tensor | None = None


KEEP = {"store": "gates", "recompute": "states"}
_FEW_ROWS = 4  # up to which matmuls of many steps at once are faster than those of one step after the other


@without_autocast
def _run(pieces: Sequence[_Piece], keep: str) -> list[tuple[Tensor, Any]]:
    if pieces[0].call.lengths is None:  # one copy, if any, for both directions and their backward
        inputs = pieces[0].call.inputs.contiguous()
        if inputs is not pieces[0].call.inputs:
            pieces = [piece._replace(call=piece.call._replace(inputs=inputs)) for piece in pieces]
    layouts = [Layout(piece.call, piece.cleared) for piece in pieces]
    results = operators.run([_pass(*both, keep) for both in zip(pieces, layouts, strict=True)])
    return [_result(*each) for each in zip(pieces, layouts, results, strict=True)]


def _pass(piece: _Piece, layout: Layout, keep: str) -> passes.Pass:
    cell, call, cleared, multiplied, known = piece
    step = compiled_before(cell, multiplied)  # asked just before, whether it is refused
    assert not isinstance(step, str)
    apart = step.recording.apart is not None

    def inputs() -> Tensor:
        given = call.inputs if call.lengths is None else layout.pack(call.inputs)
        projected = cell.project(given) if apart else given
        return projected if call.lengths is not None else projected.transpose(0, 1)

    given = passes.Given(
        inputs(),
        [layout.ranked(part) for part in call.state],
        [layout.ranked(part) for part in call.fresh] if cleared is not None else [],
        effective_tensors(cell, step.recording.parameters),
    ).contiguous()
    leaves = (given.inputs, *given.states, *given.fresh, *given.parameters)
    if not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in leaves):
        keep = "nothing"
    if known is not None:
        known = known.transpose(0, 1) if call.lengths is None else layout.pack(known)
    return passes.pass_over(step, given, layout.timing, keep, known, inputs if apart else None)


def _result(piece: _Piece, layout: Layout, result: operators.Result) -> tuple[Tensor, Any]:
    outputs, last = result
    outputs = outputs.transpose(0, 1) if piece.call.lengths is None else layout.unpack(outputs)
    return outputs, type(piece.call.state)(*(layout.unranked(part) for part in last))


def _checkpoint(piece: _Piece) -> tuple[Tensor, Any]:
    """A segment's inputs are projected when it is run, so the projected inputs are never whole in memory."""
    step = compiled_before(piece.cell, piece.products)
    assert not isinstance(step, str)
    outputs_help = step.aliased is not None and piece.call.inputs.shape[1] <= _FEW_ROWS

    def run(cell: Cell, part: Call, cleared: Tensor | None, known: Tensor | None) -> tuple[Tensor, Any]:
        return _run([_Piece(cell, part, cleared, piece.products, known)], "gates")[0]

    return run_in_segments(piece.cell, piece.call, piece.cleared, run, outputs_help)
