"""Which feature is the largest, and features that are chosen by their numbers, in a program of pointwise maths.

The number of a feature is a value like any other: what it chooses is found by comparing it with the numbers of all.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx

from echoic.engine.moving import Row, Untraceable, columns, form_of, shape_of, side_by_side
from echoic.engine.translator import Translator
from echoic.program import Operand

Form = tuple[tuple[int, ...], int, int]  # as ``form_of`` gives it


def largest(translator: Translator, node: fx.Node) -> tuple[Row, Row]:
    """Values and numbers of the largest features along a dimension, of several alike the first."""
    row, dim, form = _along(translator, node)
    best = translator.reduce("max", row, [1])
    return _placed(best, form), _placed(_first(translator, row, best, dim), form)


def smallest(translator: Translator, node: fx.Node) -> tuple[Row, Row]:
    """Likewise of the smallest."""
    row, dim, form = _along(translator, node)
    row = translator.pointwise("neg", row)
    best = translator.reduce("max", row, [1])
    return _placed(translator.pointwise("neg", best), form), _placed(_first(translator, row, best, dim), form)


def number_of_largest(translator: Translator, node: fx.Node) -> Row:
    """Which feature along a dimension is the largest."""
    return largest(translator, node)[1]


def number_of_smallest(translator: Translator, node: fx.Node) -> Row:
    """Which feature along a dimension is the smallest."""
    return smallest(translator, node)[1]


def gathered(translator: Translator, node: fx.Node) -> Row:
    """Of each index [.., K, ..] the feature of that number."""
    row, size, form = _along(translator, node)
    n, _, inner = row.dims
    source = Row(row.value, (n, 1, size, inner))
    every = translator.pointwise("where", _meant(translator, node, row), source, 0.0)
    return _placed(translator.reduce("sum", every, [2]), form)


def scattered(translator: Translator, node: fx.Node) -> Row:
    """A value with another one written over the feature of a number."""
    row, _, form = _along(translator, node)
    chosen = _meant(translator, node, row)
    if chosen.dims[1] != 1 or node.kwargs:
        raise Untraceable("it writes to several features by their numbers, or does not only write")
    written = _placed_at(translator, node, chosen)
    return _placed(translator.pointwise("where", chosen, written, Row(row.value, chosen.dims)), form)


def added_up(translator: Translator, node: fx.Node) -> Row:
    """A value with others [.., K, ..] added to the features of their numbers."""
    row, _, form = _along(translator, node)
    chosen = _meant(translator, node, row)
    every = translator.pointwise("where", chosen, _placed_at(translator, node, chosen), 0.0)
    total = Row(translator.reduce("sum", every, [1]).value, row.dims)
    return _placed(translator.pointwise("add", row, total), form)


def running_sum(translator: Translator, node: fx.Node) -> Row:
    """Of each feature along a dimension the sum up to it, in rounds that each double how many are in a sum."""
    row, size, form = _along(translator, node)
    n, _, inner = row.dims
    builder, value, width = translator.builder, _exchanged(translator, row), row.width
    reach = n * inner  # columns that stand beside each other now: the summands are so far apart
    while reach < width:
        head = builder.slice(value, 0, reach)
        added = builder.emit(
            "add", builder.slice(value, reach, width), builder.slice(value, 0, width - reach), width=width - reach
        )
        value = side_by_side(builder, [(head, reach), (added, width - reach)])
        reach *= 2
    return _placed(Row(_exchanged(translator, Row(value, (size, n, inner))), row.dims), form)


def _exchanged(translator: Translator, row: Row) -> Operand:
    """[n, size, inner] as [size, n, inner]."""
    order = torch.arange(row.width).view(row.dims).transpose(0, 1)
    return columns(translator.builder, row.value, row.width, order.flatten())


def _along(translator: Translator, node: fx.Node) -> tuple[Row, int, Form]:
    """The first argument as [n, size, inner] features, the size of the dimension that is meant, and the node's form."""
    value, dim, *_ = [*node.args, None]
    shape = shape_of(value)
    if not isinstance(dim, int):
        raise Untraceable("it looks for the largest of the whole batch")
    row, axis = translator.read(value), dim % len(shape)
    if row.axis in (None, axis):
        raise Untraceable("it mixes the rows of the batch")
    at = row.feature(axis)
    before, size, after = row.dims[:at], row.dims[at], row.dims[at + 1 :]
    whole = translator.builder.full(row.value, row.width)
    made: Any = node.meta["val"]
    form = form_of((made[0] if isinstance(made, tuple | list) else made).shape)
    return Row(whole, (math.prod(before), size, math.prod(after))), size, form


def _meant(translator: Translator, node: fx.Node, row: Row) -> Row:
    """Which of the features [n, K, size, inner] the third argument, [.., K, ..], means by its numbers."""
    (n, size, inner), index = row.dims, translator.read(node.args[2])
    _check_places(node.args[0], node.args[2], int(node.args[1]) % len(shape_of(node.args[0])))  # pyright: ignore
    wanted = Row(index.value, (n, index.width // (n * inner), 1, inner))
    return translator.pointwise("eq", wanted, _numbers(translator, size))


def _placed_at(translator: Translator, node: fx.Node, chosen: Row) -> Row:
    """The fourth argument, a number or as many values as the third has, where the numbers say."""
    value = translator.read(node.args[3])
    if isinstance(node.args[3], fx.Node) and value.axis is not None:
        _check_places(node.args[2], node.args[3])
        n, count, _, inner = chosen.dims
        return Row(value.value, (n, count, 1, inner))
    return value


def _check_places(first: object, second: object, but: int | None = None) -> None:
    """PyTorch takes some of the places where one has fewer than the other; here both have as many."""
    sizes = zip(shape_of(first), shape_of(second), strict=True)
    if any(a != b for i, (a, b) in enumerate(sizes) if i != but):
        raise Untraceable("it chooses by number in a part of the places")


def _placed(row: Row, form: Form) -> Row:
    return Row(row.value, *form)


def _numbers(translator: Translator, size: int) -> Row:
    """0, 1, 2 ... of some features."""
    return Row(translator.counting(size), (size, 1), None)


def _first(translator: Translator, row: Row, best: Row, size: int) -> Row:
    """The number of the first feature that is the best one; a NaN is."""
    same = translator.pointwise("eq", row, best)
    broken = translator.pointwise("ne", row, row)
    beyond = translator.pointwise(
        "where", translator.pointwise("maximum", same, broken), _numbers(translator, size), size
    )
    return translator.pointwise("neg", translator.reduce("max", translator.pointwise("neg", beyond), [1]))
