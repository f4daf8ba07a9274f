"""Calling the native engine: addresses, sizes, threads."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import echoic._native as engine
from echoic.engine.compiled import PACKED, Kernel
from echoic.engine.deferred import Sums
from echoic.engine.layout import Timing
from echoic.engine.operands import Operands
from echoic.errors import BackendError

# Work for which a second thread is not worth its waking, in multiplications.
_WORTH_A_THREAD = 400_000


def address(tensors: Sequence[Tensor], index: int) -> int:
    """Where the tensor of an index lies, 0 where there are none."""
    return tensors[index].data_ptr() if tensors else 0


class Launch(NamedTuple):
    """A run that is ready.

    plan: what to run. before, after: what ``Plan.execute`` takes before and after the number of threads.
    work: multiplications, roughly. alive: memory that must stay until it is done.
    """

    plan: Any
    before: tuple[Any, ...]
    after: tuple[Any, ...]
    work: int
    alive: tuple[Any, ...]


def prepare(
    kernel: Kernel,
    sizes: tuple[int, int],
    timing: Timing,
    arrays: dict[str, Tensor],
    states: list[tuple[int, ...]],
    gradients: list[tuple[int, ...]],
    operands: Operands,
    alive: tuple[Any, ...],
    sums: Sums | None = None,
) -> Launch:
    """Make a run ready.

    Args:
        kernel: what to run.
        sizes: rows of all steps together, rows of the batch.
        timing: when which rows are run.
        arrays: the packed arrays by name, [N, W] contiguous.
        states, gradients: as ``echoic_state`` and ``echoic_gradient`` of the engine have them.
        operands: vectors and matrices of the plan.
        alive: what else must stay until the run is done.
        sums: of a run from the last step to the first; None for a run forward.
    """
    rows, batch = sizes
    offsets, active, cleared = timing
    ports = [
        (p.role, 0, arrays[p.name].data_ptr(), p.width) if p.role == PACKED else (p.role, p.index, 0, 0)
        for p in kernel.ports
    ]
    before = (
        (active.shape[0], batch, rows),
        (offsets.data_ptr(), active.data_ptr(), 0 if cleared is None else cleared.data_ptr()),
        sums is not None,
    )
    after = (
        ports,
        states,
        gradients,
        operands.vectors,
        operands.matrices,
        *(sums or ([], [])),
    )
    return Launch(kernel.native, before, after, rows * kernel.work, (arrays, operands.alive, alive))


def launch(runs: Sequence[Launch]) -> None:
    """Do runs side by side."""
    runs = [run for run in runs if run.work]
    if not runs:
        return
    use_openmp_of_torch()
    threads = max(1, min(torch.get_num_threads(), sum(run.work for run in runs) // _WORTH_A_THREAD))
    if len(runs) == 1:
        plan, before, after, _, _ = runs[0]
        plan.execute(*before, threads, *after)
    else:
        each = max(1, threads // len(runs))
        engine.execute_together([(plan, *before, each, *after) for plan, before, after, _, _ in runs], threads)


def check_forced_instruction_set() -> None:
    """Raise BackendError if ECHOIC_ISA names what this processor or build has not: the engine would take its best."""
    asked, known = os.environ.get("ECHOIC_ISA"), engine.instruction_sets()
    if asked and asked not in known:
        raise BackendError(f'ECHOIC_ISA: found "{asked}", expected one of {", ".join(known)}, which this machine has.')


@cache
def use_openmp_of_torch() -> bool:
    """Let the engine work on the threads that torch has already; False where torch has no such runtime."""
    maps = Path("/proc/self/maps")
    loaded = maps.read_text().splitlines() if maps.is_file() else []
    paths = sorted({line.split()[-1] for line in loaded if "libgomp" in line or "libomp" in line})
    for path in paths:
        entry = getattr(ctypes.CDLL(path), "GOMP_parallel", None)
        if entry is not None:
            engine.use_openmp(ctypes.cast(entry, ctypes.c_void_p).value)
            return True
    return False
