"""What autocast means for the native engine: it calculates in float32, as operations without a shorter kernel do."""

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


def without_autocast(function: Callable[P, R]) -> Callable[P, R]:
    """A function whose PyTorch operations keep the numbers that they are given, whoever calls it."""

    @wraps(function)
    def run(*args: P.args, **options: P.kwargs) -> R:
        if not torch.is_autocast_enabled("cpu"):
            return function(*args, **options)
        with torch.autocast("cpu", enabled=False):
            return function(*args, **options)

    return run
