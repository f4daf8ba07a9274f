"""A cell over a batch of sequences: the only place that turns [B, T, F] into [T, B, F]."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from echoic.cells import Cell
from echoic.engine.call import MEMORIES, Call
from echoic.engine.choice import choose
from echoic.errors import OptionError


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
    """Run a cell over time.

    Args:
        cell: what makes one step.
        inputs: [B, T, I]. What stands past a row's length is never looked at, NaN included.
        state: before the first step, as ``cell.initial_state(B)``; None for ``fresh``.
        fresh: what a reset gives; None for ``cell.initial_state(B)``.
        lengths: [B] whole numbers from 0 to T, on any device, in any order; None where all rows have T steps.
        reset: [B, T] true where the state is cleared before a step: a new sequence begins there. Run in reverse, the
            state is cleared where the run enters the earlier sequence. Ignored past a row's length.
        reverse: from each row's last step to its first.
        options: backend ("auto", "native", "torch", "scan", "reference") and memory ("store", "recompute",
            "checkpoint").

    Returns:
        Outputs [B, T, O], zero past each row's length, and the state at each row's own end.

    Raises:
        OptionError: shapes that do not fit. BackendError: a backend asked for by name that cannot run this.
    """
    backend, memory = options
    if memory not in MEMORIES:
        raise OptionError(f'memory: found "{memory}", expected one of {", ".join(MEMORIES)}.')
    if memory != "store" and cell.training and parametrize.is_parametrized(cell):
        raise OptionError(
            f'memory="{memory}" runs steps again in the backward pass, where a parametrised weight (weight drop) '
            'would be drawn anew. Use memory="store".'
        )
    if inputs.dim() != 3 or inputs.shape[2] != cell.input_size:
        raise OptionError(f"inputs: found shape {list(inputs.shape)}, expected [B, T, {cell.input_size}].")
    batch, steps = inputs.shape[:2]
    fresh = cell.initial_state(batch) if fresh is None else fresh
    state = fresh if state is None else _checked_state(cell, state, fresh)
    if lengths is not None:
        lengths = _checked_lengths(lengths, batch, steps, inputs.device)
    if reset is not None:
        reset = _checked_reset(reset, batch, steps, inputs.device)
    if batch == 0 or steps == 0:
        return inputs.new_zeros(batch, steps, cell.output_size), state
    padding = None if lengths is None else torch.arange(steps, device=inputs.device).unsqueeze(1) >= lengths
    if reset is not None and padding is not None:
        reset = reset & ~padding
    call = Call(inputs.transpose(0, 1), state, fresh, lengths, reset, reverse, memory)
    with parametrize.cached():  # a random parametrisation (weight drop) is drawn once a sequence
        chosen = choose(backend, cell, call)
        if padding is not None and chosen.reads_padding:
            call = call._replace(inputs=call.inputs.masked_fill(padding.unsqueeze(2), 0))
        outputs, state = chosen.run(cell, call)
    return outputs.transpose(0, 1), state


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
