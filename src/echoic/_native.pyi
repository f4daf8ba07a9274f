"""What the extension module offers; see native/python/module.cpp. Addresses are whole numbers of live arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Sizes = tuple[int, int, int]  # steps, rows of the batch, rows in all
_Matrix = tuple[int, int, int, int]  # address, row stride, column stride, address of it packed

class Plan:
    def __init__(self, code: Sequence[int], constants: Sequence[float], type: int) -> None: ...
    def packed_bytes(self, matrix: int) -> int: ...
    def pack(self, matrix: int, source: _Matrix, packed: int) -> None: ...

class Frame:
    """A run but for the addresses of its arrays, for which it has places: -1 is nowhere, from -2 down are areas."""

    def __init__(
        self,
        plan: Plan,
        backward: bool,
        ports: Sequence[tuple[int, ...]],  # role, index, place, stride
        states: Sequence[tuple[int, ...]],  # width, first, fresh, kept, stride, last
        gradients: Sequence[tuple[int, ...]],  # width, last, first, fresh
        vectors: Sequence[int],
        matrices: Sequence[tuple[int, ...]],  # place, row stride, column stride, place of it packed
        sums: Sequence[tuple[int, ...]],  # left, its width, right, its width, state, sum of outer products, of columns
        totals: Sequence[int],
        areas: Sequence[tuple[int, int]],  # the place of the memory, width
    ) -> None: ...

class Buffer:
    """Bytes, by the buffer protocol. With the last reference, or tensor in them, they come back to be used again."""

    def data_ptr(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class Buffers:
    """Memory that is used again.

    No more lies idle than has been in use at once: a block that is lacking takes the place of those that have lain
    longest.

    Args:
        least: bytes from which on memory is worth keeping. most: bytes that may lie idle.

    Attributes:
        idle: bytes that lie idle.
    """

    def __init__(self, least: int, most: int) -> None: ...
    idle: int
    def take(self, size: int) -> Buffer:
        """So many bytes, with anything in them."""

def execute(calls: Sequence[tuple[Frame, _Sizes, int, list[Any], Any]], most_threads: int, worth_a_thread: int) -> None:
    """Runs side by side: of each the frame, sizes, multiplications, arrays (offsets, active rows, cleared rows, others)
    and memory that must stay meanwhile.

    An array is a tensor, a buffer, an address, or None. A thread is used for so many multiplications.
    """

class Session:
    def __init__(
        self, plan: Plan, batch: int, threads: int, int8: bool, vectors: Sequence[int], matrices: Sequence[_Matrix]
    ) -> None: ...
    def step(self, input: ArrayLike, output: NDArray[np.floating]) -> bool: ...
    def state(self, index: int) -> NDArray[np.floating]: ...

def opcode(name: str) -> int: ...
def instruction_set() -> str: ...
def instruction_sets() -> list[str]: ...
def has_bfloat16() -> bool: ...
def choose_instruction_set(name: str) -> None: ...
def use_openmp(gomp_parallel: int | None) -> None: ...
