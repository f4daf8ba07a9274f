"""Gradient clipping, by norm (Pascanu et al., 2013) and by value."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.nn.utils import get_total_norm


def clip_gradients(parameters: Iterable[nn.Parameter], norm: float | None, value: float | None) -> tuple[float, bool]:
    """Clip in place, by value first; returns the norm before clipping and whether anything was clipped."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return 0.0, False
    total = float(get_total_norm(gradients))
    clipped = False
    if value is not None:
        clipped = any(float(g.abs().max()) > value for g in gradients)
        for gradient in gradients:
            gradient.clamp_(-value, value)
    left = float(get_total_norm(gradients)) if clipped else total
    if norm is not None and left > norm:
        for gradient in gradients:
            gradient.mul_(norm / (left + 1e-6))
        clipped = True
    return total, clipped
