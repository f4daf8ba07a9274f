"""Memory for what only the engine sees, kept from call to call.

What a step keeps for the backward is as large as all else together, and is given back and asked for again in every
training step. The C library hands such memory back to the system, which then clears every page anew: up to a quarter of
a training step.
"""

from __future__ import annotations

from threading import RLock
from weakref import finalize

import torch
from torch import Tensor


class Buffers:
    """Memory that comes back when the last tensor in it dies.

    No more lies idle than has been in use at once: a block that is lacking takes the place of those that have lain
    longest.

    Args:
        least: bytes of a tensor from which on it is worth while. most: bytes that may lie idle.

    Attributes:
        idle: bytes that lie idle.
    """

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most, self.idle = least, most, 0
        self._used = self._peak = 0
        self._free: dict[int, Tensor] = {}  # by address, the one that came back last at the end
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

    def lend(self, like: Tensor, count: int) -> Tensor:
        """Memory for so many numbers of that type, to be given back by hand: a fraction of what ``take`` costs."""
        size = count * like.itemsize
        return like.new_empty(count) if size < max(self.least, 1) else self._block(_rounded(size))

    def take_back(self, lent: Tensor) -> None:
        """What was lent comes back."""
        if lent.dtype == torch.uint8:  # a block
            self._give_back(lent)

    def _block(self, size: int) -> Tensor:
        """The smallest of those that lie idle and are large enough, or a new one.

        Of several that are as large it is the one that came back last: the caches may still have it.
        """
        with self._turn:
            fitting = (block for block in reversed(list(self._free.values())) if len(block) >= size)
            block = min(fitting, key=len, default=None)
            if block is not None:  # unless it has given way meanwhile
                block = self._free.pop(block.data_ptr(), None)
            if block is None:
                self._keep(max(self._peak - self._used - size, 0))
                block = torch.empty(size, dtype=torch.uint8)
            else:
                self.idle -= len(block)
            self._used += len(block)
            self._peak = max(self._peak, self._used)
            return block

    def _give_back(self, block: Tensor) -> None:
        with self._turn:
            self._used -= len(block)
            self.idle += len(block)
            self._free[block.data_ptr()] = block
            self._keep(self.most)

    def _keep(self, most: int) -> None:
        """Give the system what has lain longest, until no more lies idle."""
        while self.idle > most and self._free:
            oldest = self._free.pop(next(iter(self._free)))
            self.idle -= len(oldest)


def _rounded(size: int) -> int:
    """To three binary digits, upwards: a batch with other lengths can use what another left."""
    step = 1 << max(size.bit_length() - 3, 0)
    return -(-size // step) * step


BUFFERS = Buffers(least=1 << 20, most=1 << 30)
