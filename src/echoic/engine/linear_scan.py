"""m[t] = decay[t] * m[t-1] + drive[t] over time, with its gradient.

Decays are only ever multiplied, never divided by and never taken the logarithm of: a decay of zero and a drive below
zero are as exact as in a loop over the steps.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

# Up to this many numbers a step, the price of a call exceeds that of the arithmetic, and chunks run side by side.
WIDE = {"cpu": 2048, "cuda": 1 << 20}


def linear_scan(decay: Tensor, drive: Tensor, start: Tensor, reverse: bool = False) -> tuple[Tensor, Tensor]:
    """The states after each step, and the last of them.

    Args:
        decay: [T, B, F], or of size 1 where it is the same for all; of magnitude 1 at most; real or complex.
        drive: [T, B, F], T at least 1.
        start: [B, F] state before the first step.
        reverse: from the last step to the first.

    Returns:
        States [T, B, F] and the last state [B, F], at T - 1, or at 0 in reverse. Both can be differentiated any number
        of times.
    """
    kind = torch.promote_types(torch.promote_types(decay.dtype, drive.dtype), start.dtype)
    return _Scan.apply(decay.to(kind), drive.to(kind), start.to(kind), reverse)


class _Scan(torch.autograd.Function):
    """Its gradient is the same scan in the other direction: g[t] = pull[t] + conj(decay[t+1]) * g[t+1]."""

    @staticmethod
    def forward(decay: Tensor, drive: Tensor, start: Tensor, reverse: bool) -> tuple[Tensor, Tensor]:
        states = torch.empty_like(drive, memory_format=torch.contiguous_format)
        _sweep(decay, drive, start, states, reverse)
        return states, states[0 if reverse else -1].clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        decay, _, start, ctx.reverse = inputs
        ctx.save_for_backward(decay, start, output[0])

    @staticmethod
    def backward(ctx: Any, *pulls: Tensor) -> tuple[Tensor | None, ...]:
        decay, start, states = ctx.saved_tensors
        through = _adjoint(decay.conj().resolve_conj(), pulls[0], pulls[1], ctx.reverse)
        first = -1 if ctx.reverse else 0
        to_decay = to_start = None
        if ctx.needs_input_grad[0]:
            to_decay = _times_the_state_before(through, states, start, ctx.reverse).sum_to_size(decay.shape)
        if ctx.needs_input_grad[2]:
            edge = decay if decay.shape[0] == 1 else decay[first].unsqueeze(0)
            to_start = (edge[0].conj() * through[first]).sum_to_size(start.shape)
        return to_decay, through, to_start, None


def _times_the_state_before(through: Tensor, states: Tensor, start: Tensor, reverse: bool) -> Tensor:
    """through[t] * conj(m[t-1])."""
    before = [states[1:], start.unsqueeze(0)] if reverse else [start.unsqueeze(0), states[:-1]]
    if torch.is_grad_enabled():
        return through * torch.cat(before).conj()
    product = torch.empty_like(through)
    sizes = [part.shape[0] for part in before]
    for factor, state, out in zip(through.split(sizes), before, product.split(sizes), strict=True):
        torch.mul(factor, state.conj(), out=out)
    return product


def _adjoint(decay: Tensor, pull: Tensor, end_pull: Tensor, reverse: bool) -> Tensor:
    """The gradient that arrives at each state, from its own pull and from the states after it."""
    last = 0 if reverse else -1
    end = pull[last] + end_pull
    if pull.shape[0] == 1:
        return end.unsqueeze(0)
    inner = slice(1, None) if reverse else slice(0, -1)
    # what leads from a state to the next is the decay of the next
    onward = decay if decay.shape[0] == 1 else decay[slice(0, -1) if reverse else slice(1, None)]
    if torch.is_grad_enabled():  # a gradient of the gradient is wanted
        found, _ = linear_scan(onward, pull[inner], end, not reverse)
        return torch.cat([end.unsqueeze(0), found] if reverse else [found, end.unsqueeze(0)])
    through = torch.empty_like(pull, memory_format=torch.contiguous_format)
    through[last] = end
    _sweep(onward, pull[inner], end, through[inner], not reverse)
    return through


def _sweep(decay: Tensor, drive: Tensor, start: Tensor, out: Tensor, reverse: bool) -> None:
    """Write the states to ``out`` [T, B, F]: in chunks side by side, and what is left over step by step."""
    decay = decay.expand(drive.shape)
    steps = drive.shape[0]
    chunks = _chunks(steps, drive[0].numel(), drive.device.type)
    whole = steps - steps % chunks
    order = [slice(0, whole), slice(whole, steps)]
    for part in reversed(order) if reverse else order:
        parallel = chunks if part.start == 0 else 1
        if part.stop > part.start:
            start = _side_by_side(decay[part], drive[part], start, out[part], parallel, reverse)


def _chunks(steps: int, width: int, device: str) -> int:
    """How many chunks run side by side: K of them take 3 T / K + K calls, fewest for K = sqrt(3 T)."""
    chunks = math.isqrt(3 * steps)
    return chunks if width <= WIDE.get(device, WIDE["cuda"]) and 4 * chunks <= steps else 1


def _side_by_side(decay: Tensor, drive: Tensor, start: Tensor, out: Tensor, chunks: int, reverse: bool) -> Tensor:
    """Chunks of equal length: what each adds to and keeps of the state before it, then the states between the chunks,
    then all chunks again, each from its state. Returns the last state."""
    if chunks == 1:
        return _walk(decay, drive, start, out, reverse)
    decay, drive, out = (values.unflatten(0, (chunks, -1)).transpose(0, 1) for values in (decay, drive, out))
    steps = list(zip(decay.unbind(0), drive.unbind(0), strict=True))
    if reverse:
        steps.reverse()
    (kept, added), *others = steps
    kept, added = kept.contiguous().clone(), added.contiguous().clone()  # [K, B, F]
    for step_decay, step_drive in others:
        torch.addcmul(step_drive, step_decay, added, out=added)
        kept.mul_(step_decay)
    between = torch.empty_like(added)
    end = _walk(kept, added, start, between, reverse)
    before = [between[1:], start.unsqueeze(0)] if reverse else [start.unsqueeze(0), between[:-1]]
    _walk(decay, drive, torch.cat(before), out, reverse)
    return end


def _walk(decay: Tensor, drive: Tensor, state: Tensor, out: Tensor, reverse: bool) -> Tensor:
    """Step by step over the first dimension. Returns the last state."""
    steps = list(zip(decay.unbind(0), drive.unbind(0), out.unbind(0), strict=True))
    for step_decay, step_drive, after in reversed(steps) if reverse else steps:
        state = torch.addcmul(step_drive, step_decay, state, out=after)
    return state
