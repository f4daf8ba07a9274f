"""A scan over time for cells whose recurrence is linear: many steps' gates at once, and no loop over the cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from echoic.cells import Cell, LinearCell, observing
from echoic.engine.call import Call
from echoic.engine.linear_scan import linear_scan
from echoic.engine.record import recording

# Numbers of a gate that are worked on together, so that a processor's cache holds what is made of them.
BLOCK = {"cpu": 1 << 18}


class Scan:
    """A chunked scan over time for cells whose recurrence is linear (MinGRU, MinLSTM, SRU, LRU)."""

    name = "scan"
    reads_padding = True

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
        cleared, padding = _cleared(call), _padding(call)
        steps, size = call.inputs.shape[0], _steps_of_a_block(cell, call)
        # split, not slices: its gradient is put together once
        blocks = list(zip(range(0, steps, size), call.inputs.split(size), strict=True))
        outputs: list[Tensor] = []
        memory: Sequence[Tensor] = call.state
        for start, inputs in reversed(blocks) if call.reverse else blocks:
            masks = (None if mask is None else mask[start : start + size] for mask in (cleared, padding))
            output, memory = _block(cell, inputs, memory, call, *masks)
            outputs.append(output)
        together = torch.cat(outputs[::-1] if call.reverse else outputs) if len(outputs) > 1 else outputs[0]
        if len(memory) < len(call.state):
            memory = [_at_the_end(call, together), *memory]
        return together, type(call.state)(*memory)


def _steps_of_a_block(cell: Cell, call: Call) -> int:
    """Steps that are worked on together."""
    steps, batch, _ = call.inputs.shape
    most = BLOCK.get(call.inputs.device.type)
    return steps if most is None else max(1, most // (batch * cell.hidden_size))


def _block(
    cell: LinearCell,
    inputs: Tensor,
    memory: Sequence[Tensor],
    call: Call,
    cleared: Tensor | None,
    padding: Tensor | None,
) -> tuple[Tensor, Sequence[Tensor]]:
    """Outputs and the last values of what recurs, from the state, or what recurs of it, before the block."""
    projected = cell.project(inputs)
    coefficients = cell.coefficients(projected)
    recurring = sum(part.width for part in coefficients)
    memory, fresh = list(memory[-recurring:]), list(call.fresh[-recurring:])
    states: list[Tensor] = []
    ends: list[Tensor] = []
    for part in coefficients:
        fields = slice(len(states), len(states) + part.width)
        decay, drive = _cut(*part.packed(), part.pack(fresh[fields]), cleared, padding)
        found, end = linear_scan(decay, drive, part.pack(memory[fields]), call.reverse)
        states.extend(part.unpack(found))
        ends.extend(part.unpack(end))
    outputs = cell.read_out(projected, states)
    return outputs if padding is None else torch.where(padding, 0, outputs), ends


def _cut(
    decay: Tensor, drive: Tensor, fresh: Tensor, cleared: Tensor | None, padding: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Decay and drive [T, B, F] that begin anew from ``fresh`` [B, F] where the state is cleared, and hold it still
    where a row is padding."""
    decay = decay.expand((1,) * (3 - decay.dim()) + decay.shape)
    if cleared is not None:
        drive = torch.where(cleared, drive + decay * fresh, drive)
        decay = torch.where(cleared, 0, decay)
    if padding is not None:
        decay, drive = torch.where(padding, 1, decay), torch.where(padding, 0, drive)
    return decay, drive


def _padding(call: Call) -> Tensor | None:
    """[T, B, 1] true past a row's end."""
    if call.lengths is None:
        return None
    steps = torch.arange(call.inputs.shape[0], device=call.inputs.device).unsqueeze(1)
    return (steps >= call.lengths).unsqueeze(2)


def _cleared(call: Call) -> Tensor | None:
    """[T, B, 1] true where the state is cleared before a step: in reverse, the last step of the earlier sequence."""
    if call.reset is None:
        return None
    reset = call.reset
    if call.reverse:
        reset = torch.cat([reset[1:], torch.zeros_like(reset[:1])])
    return reset.unsqueeze(2)


def _at_the_end(call: Call, outputs: Tensor) -> Tensor:
    """The hidden state [B, H] where it is the output and does not recur: that of each row's own last step."""
    if call.lengths is None:
        return outputs[0 if call.reverse else -1]
    last = torch.zeros_like(call.lengths) if call.reverse else (call.lengths - 1).clamp(min=0)
    hidden = outputs.gather(0, last[None, :, None].expand(1, -1, outputs.shape[2]))[0]
    return torch.where((call.lengths == 0).unsqueeze(1), call.state[0].to(hidden.dtype), hidden)
