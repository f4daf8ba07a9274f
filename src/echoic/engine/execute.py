"""Calling the native engine."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

import echoic._native as engine
from echoic.errors import BackendError

# Work for which a second thread is not worth its waking, in multiplications.
_WORTH_A_THREAD = 400_000


# A run that is ready: what is run; steps, rows of the batch, rows of all steps together; multiplications, roughly; what
# the frame's places mean (tensors, buffers, addresses, None for what is not there); memory that must stay meanwhile.
Launch = tuple[engine.Frame, tuple[int, int, int], int, list[Any], Any]


def launch(runs: Sequence[Launch]) -> None:
    """Do runs side by side, on as many of torch's threads as are worth their waking."""
    engine.execute(runs, torch.get_num_threads(), _WORTH_A_THREAD)


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
