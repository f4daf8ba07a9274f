"""Plans run by the native engine on NumPy arrays: one step, all rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from echoic import _native
from echoic.engine.compiled import PACKED
from echoic.program import Program
from echoic.program.encode import encode
from echoic.program.operations import Array
from echoic.program.plan import Plan

DTYPES = {"float32": np.float32, "float64": np.float64}


def native_plan(plan: Plan, program: Program, dtype: Any) -> _native.Plan:
    """The engine's own form of a plan."""
    return _native.Plan(encode(plan, program, _native.opcode), plan.constants, dtype == np.float64)


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
    plan.execute(
        (1, batch, batch),
        (offsets.ctypes.data, active.ctypes.data, 0),
        False,
        threads,
        [(PACKED, 0, m.ctypes.data, m.strides[0] // size) for m in memory],
        [],
        [],
        [v.ctypes.data for v in vectors],
        [(m.ctypes.data, m.strides[0] // size, m.strides[1] // size, 0) for m in matrices],
        [],
        [total.ctypes.data for total in totals],
    )
