"""Memory for what only the engine sees, used again by the next call: fresh one would cost a page fault for every 4 KiB.

It comes back when the last tensor in it dies (``native/python/buffers.h``).
"""

from __future__ import annotations

import torch
from torch import Tensor

import echoic._native as engine

BUFFERS = engine.Buffers(least=1 << 20, most=1 << 30)


def numbers_from(buffers: engine.Buffers, like: Tensor, count: int) -> Tensor:
    """So many numbers of the type of another tensor, with anything in them."""
    if not count:
        return like.new_empty(0)
    return torch.frombuffer(buffers.take(count * like.itemsize), dtype=like.dtype, count=count)
