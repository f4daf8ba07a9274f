"""The truth: a cell over time as a Python loop. Every other backend is tested against it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from echoic.cells import Cell
from echoic.engine.call import Call
from echoic.engine.record import RecordedRun, recording


class Reference:
    """Runs any cell, one step after the other."""

    name = "reference"
    reads_padding = True

    def refusal(self, cell: Cell, call: Call) -> str | None:
        return None

    def run(self, cell: Cell, call: Call) -> tuple[Tensor, Any]:
        order = list(range(call.inputs.shape[0]))
        if call.reverse:
            order.reverse()
        runs = recording()
        if runs is not None:
            runs.append(RecordedRun(type(cell).__name__, call.reverse, call.lengths))
        outputs, state = MEMORY[call.memory if torch.is_grad_enabled() and runs is None else "store"](cell, call, order)
        if runs is not None and call.reverse:
            runs[-1].states.reverse()
        if call.reverse:
            outputs.reverse()
        return torch.stack(outputs), state


def _store(cell: Cell, call: Call, order: list[int]) -> tuple[list[Tensor], Any]:
    projected = cell.project(call.inputs).unbind(0)  # one gradient for all steps: indexing would make one of T for each
    outputs, state = [], call.state
    for t in order:
        output, state = _step(cell, call, t, projected[t], state)
        outputs.append(output)
    return outputs, state


def _replay(cell: Cell, call: Call, order: list[int], segment: int) -> tuple[list[Tensor], Any]:
    """Keep the state at the start of each segment; run the segment again when its gradient is needed."""
    kind = type(call.state)

    def run(steps: list[int], *fields: Tensor) -> tuple[Tensor, ...]:
        low, high = min(steps), max(steps) + 1
        projected = cell.project(call.inputs[low:high]).unbind(0)
        outputs, state = [], kind(*fields)
        for t in steps:
            output, state = _step(cell, call, t, projected[t - low], state)
            outputs.append(output)
        return (torch.stack(outputs), *state)

    outputs, state = [], call.state
    for start in range(0, len(order), segment):
        part, *fields = checkpoint(run, order[start : start + segment], *state, use_reentrant=False)
        outputs.extend(part.unbind(0))
        state = kind(*fields)
    return outputs, state


def _recompute(cell: Cell, call: Call, order: list[int]) -> tuple[list[Tensor], Any]:
    return _replay(cell, call, order, 1)


def _checkpoint(cell: Cell, call: Call, order: list[int]) -> tuple[list[Tensor], Any]:
    return _replay(cell, call, order, max(1, math.isqrt(len(order))))


MEMORY: dict[str, Callable[[Cell, Call, list[int]], tuple[list[Tensor], Any]]] = {
    "store": _store,
    "recompute": _recompute,
    "checkpoint": _checkpoint,
}


def _step(cell: Cell, call: Call, t: int, projected: Tensor, state: Any) -> tuple[Tensor, Any]:
    if call.reset is not None:
        state = _where(_cleared(call, t), call.fresh, state)
    output, new = cell.update(projected, state)
    runs = recording()
    if runs is not None:
        if new[0].requires_grad:
            new[0].retain_grad()
        runs[-1].states.append(new[0])
    if call.lengths is None:
        return output, new
    active = t < call.lengths
    return torch.where(active.unsqueeze(1), output, 0), _where(active, new, state)


def _cleared(call: Call, t: int) -> Tensor:
    """Rows whose state is cleared before step t. A reset parts two segments: run backwards, the state is cleared
    before the last step of the earlier one."""
    assert call.reset is not None
    if not call.reverse:
        return call.reset[t]
    return call.reset[t + 1] if t + 1 < call.reset.shape[0] else torch.zeros_like(call.reset[t])


def _where(rows: Tensor, chosen: Any, other: Any) -> Any:
    """The state whose rows are ``chosen``'s where ``rows`` [B] is true, and ``other``'s elsewhere."""
    pairs = zip(chosen, other, strict=True)
    return type(other)(*(torch.where(rows.unsqueeze(1), a, b.to(a.dtype)) for a, b in pairs))
