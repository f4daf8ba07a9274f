"""What the extension module offers; see native/python/module.cpp. Addresses are whole numbers of live arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Port = tuple[int, int, int, int]  # role, index, address, stride
_State = tuple[int, ...]  # width, first, fresh, kept, stride, last
_Gradient = tuple[int, ...]  # width, last, first, fresh
_Matrix = tuple[int, int, int, int]  # address, row stride, column stride, packed
_Sum = tuple[int, ...]  # left, its width, right, its width, state, sum of outer products, sum of columns

class Plan:
    def __init__(self, code: Sequence[int], constants: Sequence[float], float64: bool) -> None: ...
    def execute(
        self,
        sizes: tuple[int, int, int],
        steps: tuple[int, int, int],
        backward: bool,
        threads: int,
        ports: Sequence[_Port],
        states: Sequence[_State],
        gradients: Sequence[_Gradient],
        vectors: Sequence[int],
        matrices: Sequence[_Matrix],
        sums: Sequence[_Sum] = ...,
    ) -> None: ...
    def packed_bytes(self, matrix: int) -> int: ...
    def pack(self, matrix: int, source: _Matrix, packed: int) -> None: ...

class Session:
    def __init__(
        self, plan: Plan, batch: int, threads: int, int8: bool, vectors: Sequence[int], matrices: Sequence[_Matrix]
    ) -> None: ...
    def step(self, input: ArrayLike, output: NDArray[np.floating]) -> bool: ...
    def state(self, index: int) -> NDArray[np.floating]: ...

def execute_together(calls: Sequence[tuple[Any, ...]], threads: int) -> None: ...
def opcode(name: str) -> int: ...
def instruction_set() -> str: ...
def instruction_sets() -> list[str]: ...
def choose_instruction_set(name: str) -> None: ...
def use_openmp(gomp_parallel: int | None) -> None: ...
