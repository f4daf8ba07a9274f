"""The native engine as a backend: any cell whose step is a program, on CPUs."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from echoic.cells import Cell, observing
from echoic.engine.call import Call
from echoic.engine.compiled import compiled, effective_tensors
from echoic.engine.layout import Layout
from echoic.engine.record import recording


class Native:
    """The native engine: any cell, its step as a program."""

    name = "native"

    def refusal(self, cell: Cell, call: Call) -> str | None:
        if not is_built():
            return "the native engine is not built here (pip install builds it where there is a C++ compiler)"
        if not call.inputs.is_cpu:
            return f"the native engine runs on CPUs, not on {call.inputs.device.type}"
        if call.inputs.dtype not in (torch.float32, torch.float64) or torch.is_autocast_enabled("cpu"):
            return "the native engine calculates in float32 and float64 alone"
        if call.memory != "store":
            return f"memory={call.memory!r} is not in the native engine yet"
        if recording() is not None or observing():
            return "the steps are being observed one by one"
        step = compiled(cell)
        if isinstance(step, str):
            return f"{type(cell).__name__} is no program: {step}"
        if any(p.dtype != call.inputs.dtype for p in effective_tensors(cell, step.recording.parameters)):
            return "the cell's parameters have another type than the inputs"
        return None

    def run(self, cell: Cell, call: Call) -> tuple[Tensor, Any]:
        from echoic.engine import operators

        step = compiled(cell)
        assert not isinstance(step, str)
        layout = Layout(call)
        projected = cell.project(layout.pack(call.inputs))
        states = [layout.ranked(part) for part in call.state]
        fresh = [layout.ranked(part) for part in call.fresh] if call.reset is not None else []
        parameters = effective_tensors(cell, step.recording.parameters)
        differentiable = torch.is_grad_enabled() and any(
            t.requires_grad for t in (projected, *states, *fresh, *parameters)
        )
        results = operators.run(
            projected,
            states,
            fresh,
            parameters,
            layout.offsets,
            layout.active,
            layout.cleared,
            step.key,
            differentiable,
        )
        last = results[1 : 1 + len(states)]
        return layout.unpack(results[0]), type(call.state)(*(layout.unranked(part) for part in last))


@cache
def is_built() -> bool:
    """Whether the extension module is there."""
    return find_spec("echoic._native") is not None
