"""The native engine as a backend: any cell whose step is a program, on CPUs."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from echoic.cells import Cell, observing
from echoic.engine.call import Call
from echoic.engine.compiled import Compiled, compiled, compiled_before, effective_tensors
from echoic.engine.layout import Layout, cleared_before
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
        if call.inputs.dtype not in (torch.float32, torch.float64) or torch.is_autocast_enabled("cpu"):
            return "the native engine calculates in float32 and float64 alone"
        if not torch.compiler.is_compiling() and (recording() is not None or observing()):
            return "the steps are being observed one by one"
        step = compiled(cell)
        if isinstance(step, str):
            return f"{type(cell).__name__} is no program: {step}"
        if any(p.dtype != call.inputs.dtype for p in effective_tensors(cell, step.recording.parameters)):
            return "the cell's parameters have another type than the inputs"
        return None

    def run(self, cell: Cell, call: Call) -> tuple[Tensor, Any]:
        step = compiled_before(cell)  # asked just before, whether it is refused
        assert not isinstance(step, str)
        return MEMORY[call.memory if torch.is_grad_enabled() else "store"](cell, step, call)


def _run(cell: Cell, step: Compiled, call: Call, cleared: Tensor | None, keep: str) -> tuple[Tensor, Any]:
    """A call in one piece. cleared: [T, B] rows whose state is fresh before a step, or None."""
    layout = Layout(call, cleared)
    inputs = call.inputs if call.lengths is None else layout.pack(call.inputs)
    apart = step.recording.apart is not None
    given = passes.Given(
        cell.project(inputs) if apart else inputs,
        [layout.ranked(part) for part in call.state],
        [layout.ranked(part) for part in call.fresh] if cleared is not None else [],
        effective_tensors(cell, step.recording.parameters),
    )
    leaves = (given.inputs, *given.states, *given.fresh, *given.parameters)
    if not torch.is_grad_enabled() or not any(tensor.requires_grad for tensor in leaves):
        keep = "nothing"
    again = (lambda: cell.project(inputs)) if apart else None
    outputs, last = operators.run(given, layout.timing, step.key, keep, again)
    if call.lengths is not None:
        outputs = layout.unpack(outputs)
    return outputs, type(call.state)(*(layout.unranked(part) for part in last))


def _store(cell: Cell, step: Compiled, call: Call) -> tuple[Tensor, Any]:
    return _run(cell, step, call, cleared_before(call), "gates")


def _recompute(cell: Cell, step: Compiled, call: Call) -> tuple[Tensor, Any]:
    return _run(cell, step, call, cleared_before(call), "states")


def _checkpoint(cell: Cell, step: Compiled, call: Call) -> tuple[Tensor, Any]:
    """A segment's inputs are projected when it is run, so the projected inputs are never whole in memory."""

    def run(cell: Cell, part: Call, cleared: Tensor | None) -> tuple[Tensor, Any]:
        return _run(cell, step, part, cleared, "gates")

    return run_in_segments(cell, call, cleared_before(call), run)


MEMORY: dict[str, Callable[[Cell, Compiled, Call], tuple[Tensor, Any]]] = {
    "store": _store,
    "recompute": _recompute,
    "checkpoint": _checkpoint,
}
