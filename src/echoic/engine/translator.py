"""What PyTorch's operations are made of: pointwise maths on values of any shape, sums over features, products."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from echoic.engine.moving import MOST_PIECES, ROWS, Row, Untraceable, columns, form_of, shape_of
from echoic.errors import ProgramError
from echoic.program import Builder, Operand


class Translator:
    """Writes operations on row values of any shape into a builder.

    Args:
        builder: what operations are written to.
        read: the row value of a node or a number; parameters become sources.
        matrix: the name of the source for a node that is a matrix parameter: of a stack of them the one of a position,
            turned if that is asked for.
    """

    def __init__(
        self, builder: Builder, read: Callable[[Any], Row], matrix: Callable[[fx.Node, int | None, bool], str]
    ) -> None:
        self.builder, self.read, self.matrix = builder, read, matrix

    def pointwise(self, kind: str, *arguments: Any) -> Row:
        """An operation on values whose features are spread to one shape."""
        rows = [argument if isinstance(argument, Row) else self.read(argument) for argument in arguments]
        form = _common(rows)
        operands = [self.spread(row, *form) for row in rows]
        try:
            return Row(self.builder.emit(kind, *operands, width=math.prod(form[0])), *form)
        except ProgramError as error:
            raise Untraceable(str(error)) from None

    def spread(self, row: Row, dims: tuple[int, ...], axis: int | None, groups: int = 1) -> Operand:
        """A value whose features PyTorch would spread to a shape, as many as that has."""
        if row.width in (1, math.prod(dims)):
            return self.builder.spread(row.value, math.prod(dims))
        numbers = torch.arange(row.width).reshape(row.shape(1)).broadcast_to(Row(0.0, dims, axis, groups).shape(1))
        return columns(self.builder, row.value, row.width, numbers.flatten().tolist())

    def reduce(self, kind: str, row: Row, over: Sequence[int]) -> Row:
        """The sum or the maximum over some of the features' dimensions, which stay with one feature each."""
        dims = tuple(1 if i in over else size for i, size in enumerate(row.dims))
        if row.width == 0:
            raise Untraceable("it reduces no features")
        count, size = math.prod(dims), row.width // math.prod(dims)
        if size == 1:
            return row
        value = self.builder.full(row.value, row.width)
        order = torch.arange(row.width).reshape(row.dims).movedim(list(over), list(range(-len(over), 0)))
        groups: list[list[int]] = order.reshape(count, size).tolist()
        across = (
            count > 1 and groups == torch.arange(row.width).reshape(size, count).t().tolist()
        )  # the first dimensions
        if (size if across else count) > MOST_PIECES:
            raise Untraceable(f"it reduces features in {size if across else count} pieces")
        if across:
            pieces = [self.builder.slice(value, i * count, (i + 1) * count) for i in range(size)]
            pairwise = {"sum": "add", "max": "maximum"}[kind]
            made = functools.reduce(lambda a, b: self.builder.emit(pairwise, a, b, width=count), pieces)
            return row._replace(value=made, dims=dims)
        parts = [columns(self.builder, value, row.width, group) for group in groups]
        found = [self.builder.full(self.builder.emit(kind, part, width=1), 1) for part in parts]
        return row._replace(value=self.joined([(part, 1) for part in found]), dims=dims)

    def mean(self, row: Row, over: Sequence[int]) -> Row:
        """The mean over some of the features' dimensions."""
        return self.pointwise("mul", self.reduce("sum", row, over), 1.0 / math.prod(row.dims[i] for i in over))

    def joined(self, parts: Sequence[tuple[Operand, int]]) -> Operand:
        """Values of so many columns side by side."""
        full = [self.builder.full(*part) for part in parts]
        return full[0] if len(full) == 1 else self.builder.emit("concat", *full, width=sum(width for _, width in parts))

    def product(self, row: Row, parameter: fx.Node, position: int | None = None, turned: bool = False) -> Operand:
        """A value by a matrix, one of a stack, or a turned one."""
        width = shape_of(parameter)[-2 if turned else -1]
        matrix = self.matrix(parameter, position, turned)
        return self.builder.emit("matmul", self.builder.full(row.value, row.width), matrix, width=width)

    def slices(self, row: Row) -> list[Row]:
        """Along the first dimension of the features."""
        count, (_, *rest) = row.dims[0], row.dims
        width = row.width // count
        cut = [self.builder.slice(row.value, i * width, (i + 1) * width) for i in range(count)]
        return [Row(part, tuple(rest), 0) for part in cut]


def _common(rows: Sequence[Row]) -> tuple[tuple[int, ...], int | None, int]:
    """The shape of features, the place of the batch and its groups, to which PyTorch spreads several values."""
    try:
        shape = torch.broadcast_shapes(*(row.shape(ROWS) for row in rows))
    except RuntimeError as error:
        raise Untraceable(str(error).splitlines()[0]) from None
    if all(row.axis is None for row in rows):
        return tuple(shape), None, 1
    places = {row.axis - len(row.shape(1)) for row in rows if row.axis is not None}
    if len(places) > 1:
        raise Untraceable("it meets the rows of the batch with features")
    return form_of(shape)
