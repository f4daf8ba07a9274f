"""A cell over a batch of sequences: the only place that turns [B, T, F] into [T, B, F]."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from echoic.cells import Cell
from echoic.engine.call import MEMORIES, Call, Direction
from echoic.engine.choice import choose, native_first
from echoic.engine.native import BUILT, KEEP, Native
from echoic.errors import OptionError

if BUILT:
    from echoic.engine import plain


def unroll(
    cell: Cell,
    inputs: Tensor,
    state: Any = None,
    *,
    fresh: Any = None,
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
    reverse: bool = False,
    options: tuple[str, str] = ("auto", "store"),
) -> tuple[Tensor, Any]:
    """Run a cell over time: ``unroll_together`` for one direction."""
    direction = Direction(cell, state, fresh, reverse)
    return unroll_together([direction], inputs, lengths=lengths, reset=reset, options=options)[0]


def unroll_together(
    directions: Sequence[Direction],
    inputs: Tensor,
    *,
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
    options: tuple[str, str] = ("auto", "store"),
) -> list[tuple[Tensor, Any]]:
    """Run cells over the same inputs, side by side where the backend can.

    Args:
        directions: the cells, their states and the ways they go.
        inputs: [B, T, I]. What stands past a row's length is never looked at, NaN included.
        lengths: [B] whole numbers from 0 to T, on any device, in any order; None where all rows have T steps.
        reset: [B, T] true where the state is cleared before a step: a new sequence begins there. Run in reverse, the
            state is cleared where the run enters the earlier sequence. Ignored past a row's length.
        options: backend ("auto", "native", "torch", "scan", "reference") and memory ("store", "recompute",
            "checkpoint").

    Returns:
        Of each direction outputs [B, T, O], zero past each row's length, and the state at each row's own end.

    Raises:
        OptionError: shapes that do not fit. BackendError: a backend asked for by name that cannot run this.
    """
    if lengths is None and reset is None:
        results = _plainly(directions, inputs, options)
        if results is not None:
            return results
    memory = options[1]
    for direction in directions:
        _check(direction.cell, inputs, memory)
    batch, steps = inputs.shape[:2]
    if lengths is not None:
        lengths = _checked_lengths(lengths, batch, steps, inputs.device)
    if reset is not None:
        reset = _checked_reset(reset, batch, steps, inputs.device)
    calls, time_major = [], inputs.transpose(0, 1)
    for cell, state, fresh, reverse in directions:
        fresh = cell.initial_state(batch) if fresh is None else fresh
        state = fresh if state is None else _checked_state(cell, state, fresh)
        calls.append(Call(time_major, state, fresh, lengths, reset, reverse, memory))
    if batch == 0 or steps == 0:
        empty = (inputs.new_zeros(batch, steps, direction.cell.output_size) for direction in directions)
        return [(outputs, call.state) for outputs, call in zip(empty, calls, strict=True)]
    padding = None if lengths is None else torch.arange(steps, device=inputs.device).unsqueeze(1) >= lengths
    if reset is not None and padding is not None:
        calls = [call._replace(reset=reset & ~padding) for call in calls]
    cells = [direction.cell for direction in directions]
    may_be_parametrized = any(cell._modules for cell in cells)  # that is what parametrisations are kept in
    # A random one (weight drop) is drawn once a sequence
    with parametrize.cached() if may_be_parametrized else nullcontext():
        results = _run(cells, calls, options[0], padding)
    return [(outputs.transpose(0, 1), state) for outputs, state in results]


def _plainly(
    directions: Sequence[Direction], inputs: Tensor, options: tuple[str, str]
) -> list[tuple[Tensor, Any]] | None:
    """The results of ``unroll_together`` where one run of the native engine is all that is needed; else None."""
    backend, memory = options
    if not native_first(backend) or (memory == "checkpoint" and torch.is_grad_enabled()):
        return None
    keep = "gates" if memory == "checkpoint" else KEEP.get(memory)
    return None if keep is None else plain.run(directions, inputs, keep)


def _run(
    cells: Sequence[Cell], calls: Sequence[Call], backend: str, padding: Tensor | None
) -> list[tuple[Tensor, Any]]:
    chosen = [choose(backend, cell, call) for cell, call in zip(cells, calls, strict=True)]
    first = chosen[0]
    if isinstance(first, Native) and all(each is first for each in chosen):
        return first.run_together(cells, calls)
    results = []
    for each, cell, call in zip(chosen, cells, calls, strict=True):
        if padding is not None and each.reads_padding:
            call = call._replace(inputs=call.inputs.masked_fill(padding.unsqueeze(2), 0))
        results.append(each.run(cell, call))
    return results


def _check(cell: Cell, inputs: Tensor, memory: str) -> None:
    if memory not in MEMORIES:
        raise OptionError(f'memory: found "{memory}", expected one of {", ".join(MEMORIES)}.')
    if memory != "store" and cell.training and parametrize.is_parametrized(cell):
        raise OptionError(
            f'memory="{memory}" runs steps again in the backward pass, where a parametrised weight (weight drop) '
            'would be drawn anew. Use memory="store".'
        )
    if inputs.dim() != 3 or inputs.shape[2] != cell.input_size:
        raise OptionError(f"inputs: found shape {list(inputs.shape)}, expected [B, T, {cell.input_size}].")


def _checked_lengths(lengths: Tensor, batch: int, steps: int, device: torch.device) -> Tensor | None:
    """Lengths on the inputs' device, or None if no row is shorter than T."""
    if lengths.shape != (batch,):
        raise OptionError(f"lengths: found shape {list(lengths.shape)}, expected [{batch}].")
    if lengths.dtype == torch.bool or lengths.is_floating_point() or lengths.is_complex():
        raise OptionError(f"lengths: found {lengths.dtype}, expected whole numbers.")
    if batch == 0:
        return None
    low, high = int(lengths.min()), int(lengths.max())
    if low < 0 or high > steps:
        raise OptionError(f"lengths: found {low} to {high}, expected 0 to {steps}, the steps of the inputs.")
    return None if low == steps else lengths.to(device, torch.int64)


def _checked_reset(reset: Tensor, batch: int, steps: int, device: torch.device) -> Tensor:
    """[T, B] booleans on the inputs' device."""
    if reset.shape != (batch, steps):
        raise OptionError(f"reset: found shape {list(reset.shape)}, expected {[batch, steps]}.")
    return reset.to(device, torch.bool).transpose(0, 1)


def _checked_state(cell: Cell, state: Any, fresh: Any) -> Any:
    found, expected = [list(part.shape) for part in state], [list(part.shape) for part in fresh]
    if found != expected:
        raise OptionError(f"state of {type(cell).__name__}: found shapes {found}, expected {expected}.")
    return type(fresh)(*state)
