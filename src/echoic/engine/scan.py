"""A scan over time for cells whose recurrence is linear: all steps' gates at once, and no loop over the cell."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from echoic.cells import Cell, LinearCell, observing
from echoic.engine.call import Call
from echoic.engine.linear_scan import linear_scan
from echoic.engine.record import recording


class Scan:
    """A chunked scan over time for cells whose recurrence is linear (MinGRU, MinLSTM, SRU, LRU)."""

    name = "scan"

    def refusal(self, cell: Cell, call: Call) -> str | None:
        if not isinstance(cell, LinearCell):
            return f"{type(cell).__name__} is no LinearCell, whose state a scan could carry over many steps at once"
        if type(cell).update is not LinearCell.update:
            return f"{type(cell).__name__} writes an update of its own, which a scan cannot know"
        if call.memory != "store":
            return f"a scan keeps all gates; memory={call.memory!r} needs another backend"
        if recording() is not None or observing():
            return "the steps are being observed one by one"
        return None

    def run(self, cell: Cell, call: Call) -> tuple[Tensor, Any]:
        assert isinstance(cell, LinearCell)
        projected = cell.project(call.inputs)
        coefficients = cell.coefficients(projected)
        first = len(call.state) - sum(part.width for part in coefficients)
        memory: list[Tensor] = []
        ends: list[Tensor] = []
        for part in coefficients:
            fields = slice(first + len(memory), first + len(memory) + part.width)
            decay, drive = part.packed()
            decay, drive = _cut(call, decay, drive, part.pack(call.fresh[fields]))
            states, end = linear_scan(decay, drive, part.pack(call.state[fields]), call.reverse)
            memory.extend(part.unpack(states))
            ends.extend(part.unpack(end))
        outputs = cell.read_out(projected, memory)
        if first:
            ends = [_at_the_end(call, outputs), *ends]
        if call.lengths is not None:
            outputs = torch.where(_padding(call, call.lengths), 0, outputs)
        return outputs, type(call.state)(*ends)


def _cut(call: Call, decay: Tensor, drive: Tensor, fresh: Tensor) -> tuple[Tensor, Tensor]:
    """Decay and drive [T, B, F] that begin anew from ``fresh`` [B, F] where the state is cleared, and hold it still
    where a row is padding."""
    decay = decay.expand((1,) * (3 - decay.dim()) + decay.shape)
    if call.reset is not None:
        cleared = _cleared(call.reset, call.reverse).unsqueeze(2)
        drive = torch.where(cleared, drive + decay * fresh, drive)
        decay = torch.where(cleared, 0, decay)
    if call.lengths is not None:
        padding = _padding(call, call.lengths)
        decay, drive = torch.where(padding, 1, decay), torch.where(padding, 0, drive)
    return decay, drive


def _padding(call: Call, lengths: Tensor) -> Tensor:
    """[T, B, 1] true past a row's end."""
    steps = torch.arange(call.inputs.shape[0], device=call.inputs.device).unsqueeze(1)
    return (steps >= lengths).unsqueeze(2)


def _cleared(reset: Tensor, reverse: bool) -> Tensor:
    """[T, B] true where the state is cleared before a step: in reverse, the last step of the earlier sequence."""
    return torch.cat([reset[1:], torch.zeros_like(reset[:1])]) if reverse else reset


def _at_the_end(call: Call, outputs: Tensor) -> Tensor:
    """The hidden state [B, H], where it is but the output: that of each row's own last step."""
    if call.lengths is None:
        return outputs[0 if call.reverse else -1]
    last = torch.zeros_like(call.lengths) if call.reverse else (call.lengths - 1).clamp(min=0)
    hidden = outputs.gather(0, last[None, :, None].expand(1, -1, outputs.shape[2]))[0]
    return torch.where((call.lengths == 0).unsqueeze(1), call.state[0].to(hidden.dtype), hidden)
