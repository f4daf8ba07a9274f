"""What autocast and PyTorch's precision of matmuls mean for the native engine.

It calculates in float32, as operations without a shorter kernel do. Where the processor multiplies bfloat16 numbers
faster (AMX), what matmuls multiply is rounded if that is asked for; sums and all else stay float32. It is asked for by
autocast to bfloat16, and by ``torch.set_float32_matmul_precision``: "medium" is bfloat16, "high" the sum of two such.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

try:
    import echoic._native as engine
except ModuleNotFoundError:  # not built here, of which whoever chooses a backend says why
    engine = None

_MATMUL: Any = torch.backends.mkldnn.matmul  # pyright: ignore

P = ParamSpec("P")
R = TypeVar("R")

# The engine's types of numbers, as in native/engine/engine.h. The last two are float32 with products of rounded ones.
FLOAT32, FLOAT64, BFLOAT16, PAIRS = range(4)
_MEANINGS = {"tf32": PAIRS, "bf16": BFLOAT16}  # as PyTorch calls the precisions of oneDNN's matmuls


def numbers(inputs: Tensor) -> torch.dtype:
    """The type of numbers in which a call with such inputs is calculated."""
    short = torch.is_autocast_enabled("cpu") and inputs.dtype == torch.get_autocast_dtype("cpu")
    return torch.float32 if short else inputs.dtype


def products(inputs: Tensor) -> int:
    """What matmuls multiply in a call with such inputs: FLOAT32; BFLOAT16 or PAIRS if asked for and possible."""
    if not torch.is_autocast_enabled("cpu"):
        return _possible(None) if inputs.dtype is torch.float32 else FLOAT32
    if numbers(inputs) != torch.float32:
        return FLOAT32
    return _possible(BFLOAT16 if torch.get_autocast_dtype("cpu") == torch.bfloat16 else None)


@torch.compiler.assume_constant_result
def _possible(asked: int | None) -> int:
    """What is asked for, None by the precision of matmuls, or FLOAT32 where the instruction set in use cannot do it.

    A compiled graph keeps what it found.
    """
    if engine is None or not engine.has_bfloat16():
        return FLOAT32
    # As torch.set_float32_matmul_precision sets it; asking by its own name fails where programs set it in other ways
    return asked or _MEANINGS.get(_MATMUL.fp32_precision, FLOAT32)


def has_bfloat16() -> bool:
    """Whether the native engine is built and multiplies bfloat16 numbers on this processor."""
    return engine is not None and engine.has_bfloat16()


def without_autocast(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose PyTorch operations keep the numbers that they are given, whoever calls it."""

    @wraps(function)
    def run(*args: P.args, **options: P.kwargs) -> R:
        if not torch.is_autocast_enabled("cpu"):
            return function(*args, **options)
        with torch.autocast("cpu", enabled=False):
            return function(*args, **options)

    return run
