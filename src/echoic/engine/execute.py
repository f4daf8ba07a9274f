"""Calling the native engine."""

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
from echoic.errors import BackendError

# Work for which a second thread is not worth its waking, in multiplications.
_WORTH_A_THREAD = 400_000


class Launch(NamedTuple):
    """A run that is ready.

    frame: what is run. sizes: steps, rows of the batch, rows of all steps together.
    arrays: what the frame's places mean: tensors, buffers, addresses, None for what is not there.
    work: multiplications, roughly. alive: memory that must stay until it is done, besides the arrays.
    """

    frame: engine.Frame
    sizes: tuple[int, int, int]
    arrays: list[Tensor | engine.Buffer | int | None]
    work: int
    alive: Any


def launch(runs: Sequence[Launch]) -> None:
    """Do runs side by side."""
    work = sum([run.work for run in runs])
    if work == 0:
        return
    use_openmp_of_torch()
    threads = min(torch.get_num_threads(), work // _WORTH_A_THREAD) or 1
    each = threads // len(runs) or 1
    engine.execute([(run.frame, run.sizes, each, run.arrays) for run in runs], threads)


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
