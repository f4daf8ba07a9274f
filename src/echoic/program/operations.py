"""The operations of a step: what a program may ask for, and what each means in NumPy.

Every value is a row value [B, W]: B rows, one per sequence, and W features. Parameters are vectors [N], the same for
every row, and matrices [K, N]. A number may stand wherever an operand of a pointwise operation stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


class Kind(NamedTuple):
    """A kind of operation.

    operands: how many it takes; None for any number, at least one.
    attributes: how many whole numbers it may carry.
    meaning: the operation on arrays of shape [B, W].
    """

    operands: int | None
    attributes: tuple[int, ...]
    meaning: Callable[..., Array]


def _sigmoid(x: Array) -> Array:
    z = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + z), z / (1 + z))


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _erf(x: Array) -> Array:
    return np.vectorize(math.erf, otypes=[np.float64])(x)


def _pointwise(operands: int, meaning: Callable[..., Array]) -> Kind:
    return Kind(operands, (0,), meaning)


def _reduction(operands: int, meaning: Callable[..., Array]) -> Kind:
    """What takes all columns together, or of [.., size, inner] columns those that differ in the second place alone."""

    def reduced(*values: Any) -> Array:
        rows, form = values[:operands], values[operands:]
        if not form:
            return meaning(*rows, axis=1, keepdims=True)
        apart = [row.reshape(len(row), -1, *form) for row in rows]
        return meaning(*apart, axis=2).reshape(len(rows[0]), -1)

    return Kind(operands, (0, 2), reduced)


def taken(offset: int, *form: int) -> NDArray[np.int64]:
    """Which columns ``take`` takes: form: size and stride of each dimension, the innermost last."""
    columns = np.array([offset])
    for size, stride in zip(form[::2], form[1::2], strict=True):
        columns = np.add.outer(columns, np.arange(size) * stride).ravel()
    return columns


def _matmul(x: Array, matrix: Array, groups: int = 1) -> Array:
    return (x.reshape(len(x) * groups, -1) @ matrix).reshape(len(x), -1)


# Order matters to nobody: the engine is asked for its number of each name.
POINTWISE: dict[str, Kind] = {
    "copy": _pointwise(1, lambda x: x),
    "neg": _pointwise(1, lambda x: -x),
    "abs": _pointwise(1, np.abs),
    "sign": _pointwise(1, np.sign),
    "floor": _pointwise(1, np.floor),
    "relu": _pointwise(1, lambda x: np.where(x <= 0, 0.0, x)),
    "exp": _pointwise(1, np.exp),
    "expm1": _pointwise(1, np.expm1),
    "log": _pointwise(1, np.log),
    "log1p": _pointwise(1, np.log1p),
    "sqrt": _pointwise(1, np.sqrt),
    "rsqrt": _pointwise(1, lambda x: 1 / np.sqrt(x)),
    "reciprocal": _pointwise(1, lambda x: 1 / x),
    "sin": _pointwise(1, np.sin),
    "cos": _pointwise(1, np.cos),
    "sigmoid": _pointwise(1, _sigmoid),
    "tanh": _pointwise(1, np.tanh),
    "softplus": _pointwise(1, _softplus),
    "erf": _pointwise(1, _erf),
    "add": _pointwise(2, lambda a, b: a + b),
    "sub": _pointwise(2, lambda a, b: a - b),
    "mul": _pointwise(2, lambda a, b: a * b),
    "div": _pointwise(2, lambda a, b: a / b),
    "maximum": _pointwise(2, np.maximum),
    "minimum": _pointwise(2, np.minimum),
    "lt": _pointwise(2, lambda a, b: a < b),
    "le": _pointwise(2, lambda a, b: a <= b),
    "eq": _pointwise(2, lambda a, b: a == b),
    "ne": _pointwise(2, lambda a, b: a != b),
    "sigmoid_grad": _pointwise(2, lambda g, y: g * y * (1 - y)),  # y is the sigmoid
    "tanh_grad": _pointwise(2, lambda g, y: g * (1 - y * y)),  # y is the hyperbolic tangent
    "relu_grad": _pointwise(2, lambda g, y: np.where(y <= 0, 0.0, g)),  # y is the relu, or what it was made of
    "where": _pointwise(3, lambda condition, a, b: np.where(condition != 0, a, b)),
    "fma": _pointwise(3, lambda a, b, c: a * b + c),
}
# What only repeats or moves columns, and is made anew, tile by tile, where pointwise operations read it.
SPREAD = {"broadcast", "take"}
# Those that the engine also does with a single column as the second operand.
BY_COLUMN = {"add", "sub", "mul", "fma"}
REDUCTIONS: dict[str, Kind] = {
    "sum": _reduction(1, np.sum),
    "max": _reduction(1, np.max),
    "dot": _reduction(2, lambda x, y, **over: np.sum(x * y, **over)),
}
KINDS: dict[str, Kind] = {
    **POINTWISE,
    **REDUCTIONS,
    "matmul": Kind(2, (0, 1), _matmul),  # the same matrix for each of so many groups of columns
    "slice": Kind(1, (2,), lambda x, start, stop: x[:, start:stop]),  # columns start to stop
    "concat": Kind(None, (0,), lambda *parts: np.concatenate(parts, 1)),
    "broadcast": Kind(1, (1,), lambda x, width: np.repeat(x, width, 1)),  # one column, or a number, to many
    "take": Kind(1, (3, 5, 7, 9), lambda x, *form: x[:, taken(*form)]),  # repeated, transposed, backwards
}

# Cheaper to do again than to write and read.
CHEAP = {"copy", "neg", "abs", "sign", "relu", "add", "sub", "mul", "maximum", "minimum", "lt", "le", "eq", "ne",
         "where", "fma", "slice", "concat", "broadcast", "take", "sigmoid_grad", "tanh_grad", "relu_grad"}  # fmt: skip
