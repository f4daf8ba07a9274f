"""Plans run by the native engine on NumPy arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from echoic import _native
from echoic.engine.compiled import PACKED
from echoic.engine.frames import NOWHERE
from echoic.program import Program
from echoic.program.encode import encode
from echoic.program.operations import Array
from echoic.program.plan import Plan

DTYPES = {"float32": np.float32, "float64": np.float64}


def native_plan(plan: Plan, program: Program, dtype: Any) -> _native.Plan:
    """The engine's own form of a plan."""
    return _native.Plan(encode(plan, program, _native.opcode), plan.constants, dtype == np.float64)


def run(
    plan: _native.Plan,
    sizes: tuple[int, int, int],
    steps: tuple[int, int, int],
    backward: bool,
    threads: int,
    ports: Sequence[tuple[int, ...]],
    states: Sequence[tuple[int, ...]] = (),
    gradients: Sequence[tuple[int, ...]] = (),
    vectors: Sequence[int] = (),
    matrices: Sequence[tuple[int, ...]] = (),
    sums: Sequence[tuple[int, ...]] = (),
    totals: Sequence[int] = (),
) -> None:
    """A run with addresses where a frame has places."""
    addresses = list(steps)

    def place(address: int) -> int:
        if address == 0:
            return NOWHERE
        addresses.append(address)
        return len(addresses) - 1

    frame = _native.Frame(
        plan,
        backward,
        [(role, index, place(data), stride) for role, index, data, stride in ports],
        [(width, place(i), place(f), place(k), stride, place(e)) for width, i, f, k, stride, e in states],
        [(width, *map(place, where)) for width, *where in gradients],
        list(map(place, vectors)),
        [(place(data), down, right, place(packed)) for data, down, right, packed in matrices],
        [
            (place(left), n, place(right), m, state, place(outer), place(columns), *(groups or [1]))
            for left, n, right, m, state, outer, columns, *groups in sums
        ],
        list(map(place, totals)),
        [],
    )
    _native.execute([(frame, sizes, max(threads, 1), addresses, None)], threads, 1)


def execute(
    plan: _native.Plan,
    memory: Sequence[Array],
    vectors: Sequence[Array] = (),
    matrices: Sequence[Array] = (),
    totals: Sequence[Array] = (),
    threads: int = 1,
) -> None:
    """Run one step over all rows; ``memory`` is of the ports, [B, at least the port's width], and written to."""
    batch = len(memory[0])
    offsets, active = np.zeros(1, np.int64), np.array([batch], np.int64)
    size = memory[0].itemsize
    run(
        plan,
        (1, batch, batch),
        (offsets.ctypes.data, active.ctypes.data, 0),
        False,
        threads,
        [(PACKED, 0, m.ctypes.data, m.strides[0] // size) for m in memory],
        vectors=[v.ctypes.data for v in vectors],
        matrices=[(m.ctypes.data, m.strides[0] // size, m.strides[1] // size, 0) for m in matrices],
        totals=[total.ctypes.data for total in totals],
    )
