"""Memory for what only the engine sees, kept from call to call.

What a step keeps for the backward is as large as all else together, and is given back and asked for again in every
training step. The C library hands such memory back to the system, which then clears every page anew: up to a quarter of
a training step.
"""

from __future__ import annotations

from collections import defaultdict
from threading import RLock
from weakref import finalize

import torch
from torch import Tensor


class Buffers:
    """Memory that comes back when the last tensor in it dies.

    Args:
        least: bytes of a tensor from which on it is worth while. most: bytes that may lie idle.
    """

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most, self.idle = least, most, 0
        self._free: defaultdict[int, list[Tensor]] = defaultdict(list)
        self._turn = RLock()  # memory may come back to whoever holds it, from the garbage collector

    def take(self, like: Tensor, count: int) -> Tensor:
        """So many numbers of the type of another tensor, with anything in them."""
        size = count * like.itemsize
        if size < max(self.least, 1):
            return like.new_empty(count)
        block = self._block(_rounded(size))
        view = block.numpy().data
        finalize(view, self._give_back, block).atexit = False
        return torch.frombuffer(view, dtype=like.dtype, count=count)

    def _block(self, size: int) -> Tensor:
        with self._turn:
            if self._free[size]:
                self.idle -= size
                return self._free[size].pop()
        return torch.empty(size, dtype=torch.uint8)

    def _give_back(self, block: Tensor) -> None:
        with self._turn:
            if self.idle + len(block) <= self.most:
                self.idle += len(block)
                self._free[len(block)].append(block)


def _rounded(size: int) -> int:
    """To three binary digits, upwards: a batch with other lengths can use what another left."""
    step = 1 << max(size.bit_length() - 3, 0)
    return -(-size // step) * step


BUFFERS = Buffers(least=1 << 20, most=256 << 20)
