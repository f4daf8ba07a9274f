"""What autocast means for the native engine.

It calculates in float32, as operations without a shorter kernel do. Where autocast asks for bfloat16 and the processor
multiplies such numbers faster (AMX), what matmuls multiply is rounded to them; sums and all else stay float32.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def numbers(inputs: Tensor) -> torch.dtype:
    """The type of numbers in which a call with such inputs is calculated."""
    short = torch.is_autocast_enabled("cpu") and inputs.dtype == torch.get_autocast_dtype("cpu")
    return torch.float32 if short else inputs.dtype


def shortens_products(inputs: Tensor) -> bool:
    """Whether a call with such inputs is to multiply bfloat16 numbers, and can."""
    if not torch.is_autocast_enabled("cpu") or torch.get_autocast_dtype("cpu") != torch.bfloat16:
        return False
    return numbers(inputs) == torch.float32 and _has_bfloat16()


@torch.compiler.assume_constant_result
def _has_bfloat16() -> bool:
    import echoic._native as engine

    return engine.has_bfloat16()


def without_autocast(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose PyTorch operations keep the numbers that they are given, whoever calls it."""

    @wraps(function)
    def run(*args: P.args, **options: P.kwargs) -> R:
        if not torch.is_autocast_enabled("cpu"):
            return function(*args, **options)
        with torch.autocast("cpu", enabled=False):
            return function(*args, **options)

    return run
