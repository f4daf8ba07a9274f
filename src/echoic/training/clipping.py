"""Gradient clipping, by norm (Pascanu et al., 2013) and by value."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


def clip_gradients(parameters: Iterable[nn.Parameter], norm: float | None, value: float | None) -> tuple[float, bool]:
    """Clip in place, by value first; returns the norm before clipping and whether anything was clipped."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return 0.0, False
    total = float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients))))
    clipped = False
    if value is not None:
        clipped = any(float(g.abs().max()) > value for g in gradients)
        for gradient in gradients:
            gradient.clamp_(-value, value)
    if norm is not None and total > norm:
        torch._foreach_mul_(gradients, norm / (total + 1e-6))
        clipped = True
    return total, clipped
