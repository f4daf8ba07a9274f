"""Which feature is the largest, and features that are chosen by their numbers, in a program of pointwise maths.

The number of a feature is a value like any other: what it chooses is found by comparing it with the numbers of all.
"""

from __future__ import annotations

import math
from typing import Any

from torch import fx

from echoic.engine.moving import Row, Untraceable, form_of, shape_of
from echoic.engine.translator import Translator


def largest(translator: Translator, node: fx.Node) -> tuple[Row, Row]:
    """Values and numbers of the largest features along a dimension, of several alike the first."""
    row, dim, form = _along(translator, node, 1)
    best = translator.reduce("max", row, [1])
    return _placed(best, form), _placed(_first(translator, row, best, dim), form)


def smallest(translator: Translator, node: fx.Node) -> tuple[Row, Row]:
    """Likewise of the smallest."""
    row, dim, form = _along(translator, node, 1)
    row = translator.pointwise("neg", row)
    best = translator.reduce("max", row, [1])
    return _placed(translator.pointwise("neg", best), form), _placed(_first(translator, row, best, dim), form)


def number_of_largest(translator: Translator, node: fx.Node) -> Row:
    return largest(translator, node)[1]


def number_of_smallest(translator: Translator, node: fx.Node) -> Row:
    return smallest(translator, node)[1]


def gathered(translator: Translator, node: fx.Node) -> Row:
    """Of each index [.., K, ..] the feature of that number."""
    row, size, form = _along(translator, node, 1)
    n, _, inner = row.dims
    index = translator.read(node.args[2])
    wanted = Row(index.value, (n, index.width // (n * inner), 1, inner))
    chosen = translator.pointwise("eq", wanted, _numbers(translator, size))
    source = Row(row.value, (n, 1, size, inner))
    found = translator.reduce("sum", translator.pointwise("where", chosen, source, 0.0), [2])
    return _placed(found, form)


def scattered(translator: Translator, node: fx.Node) -> Row:
    """A value with another one written over the feature of a number."""
    row, size, form = _along(translator, node, 1)
    n, _, inner = row.dims
    index = translator.read(node.args[2])
    if index.width != n * inner:
        raise Untraceable("it writes to several features by their numbers")
    written = translator.read(node.args[3])
    if written.axis is not None:
        written = Row(written.value, (n, 1, inner))
    chosen = translator.pointwise("eq", Row(index.value, (n, 1, inner)), _numbers(translator, size))
    return _placed(translator.pointwise("where", chosen, written, row), form)


def added_up(translator: Translator, node: fx.Node) -> Row:
    """A value with others [.., K, ..] added to the features of their numbers."""
    row, size, form = _along(translator, node, 1)
    n, _, inner = row.dims
    index, added = translator.read(node.args[2]), translator.read(node.args[3])
    dims = (n, index.width // (n * inner), 1, inner)
    chosen = translator.pointwise("eq", Row(index.value, dims), _numbers(translator, size))
    every = translator.pointwise("where", chosen, Row(added.value, dims), 0.0)
    total = Row(translator.reduce("sum", every, [1]).value, row.dims)
    return _placed(translator.pointwise("add", row, total), form)


def running_sum(translator: Translator, node: fx.Node) -> Row:
    """Of each feature along a dimension the sum up to it, in rounds that each double how many are in a sum."""
    row, size, form = _along(translator, node, 1)
    n, _, inner = row.dims
    turned = translator.turned(row.value, n, size * inner) if n > 1 and inner == 1 else row.value
    if n > 1 and inner > 1:
        raise Untraceable("it sums up features along a dimension between others")
    step = n * inner  # features that lie beside each other, apart from the others of theirs
    value, width, reach = turned, row.width, step
    while reach < width:
        head = translator.builder.slice(value, 0, reach)
        rest = (translator.builder.slice(value, *ends) for ends in ((reach, width), (0, width - reach)))
        added = translator.builder.emit("add", *rest, width=width - reach)
        value = translator.joined([(head, reach), (added, width - reach)])
        reach *= 2
    return _placed(Row(translator.turned(value, size, n) if n > 1 else value, row.dims), form)


def _along(translator: Translator, node: fx.Node, position: int) -> tuple[Row, int, Any]:
    """The first argument as [n, size, inner] features, the size of the dimension that is meant, and the node's form."""
    shape, dim = shape_of(node.args[0]), node.args[position] if len(node.args) > position else None
    if not isinstance(dim, int):
        raise Untraceable("it looks for the largest of the whole batch")
    row, axis = translator.read(node.args[0]), dim % len(shape)
    if row.axis in (None, axis):
        raise Untraceable("it mixes the rows of the batch")
    at = row.feature(axis)
    before, size, after = row.dims[:at], row.dims[at], row.dims[at + 1 :]
    value = translator.builder.full(row.value, row.width)
    made = node.meta["val"]
    form = form_of((made[0] if isinstance(made, tuple | list) else made).shape)
    return Row(value, (math.prod(before), size, math.prod(after))), size, form


def _placed(row: Row, form: Any) -> Row:
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
