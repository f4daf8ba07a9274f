"""The learning rate over a training, as a factor of its peak, from progress 0 to 1."""

from __future__ import annotations

import math
from collections.abc import Callable

FLOOR = 1e-3  # the lowest factor: a rate of exactly zero would waste the last steps


def one_cycle(progress: float, warmup: float) -> float:
    """Up over the warm-up, then down along half a cosine (Smith and Topin, 2019)."""
    if progress < warmup:
        return FLOOR + (1 - FLOOR) * progress / warmup
    down = (progress - warmup) / max(1e-9, 1 - warmup)
    return FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, down)))


def cosine(progress: float, warmup: float) -> float:
    """Down along half a cosine from the first step (Loshchilov and Hutter, 2017)."""
    return one_cycle(progress, 0.0)


def constant(progress: float, warmup: float) -> float:
    """Up over the warm-up, then level."""
    return min(1.0, FLOOR + (1 - FLOOR) * progress / warmup) if warmup > 0 else 1.0


SCHEDULES: dict[str, Callable[[float, float], float]] = {
    "one-cycle": one_cycle,
    "cosine": cosine,
    "constant": constant,
}
