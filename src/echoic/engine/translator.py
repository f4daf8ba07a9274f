"""What PyTorch's operations are made of: pointwise maths on values of any shape, sums over features, products."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from echoic.engine.moving import ROWS, Matrix, Row, Untraceable, columns, form_of, form_of_columns
from echoic.errors import ProgramError
from echoic.program import Builder, Operand


class Translator:
    """Writes operations on row values of any shape into a builder.

    Args:
        builder: what operations are written to.
        read: the row value of a node or a number; parameters become sources.
        matrix: the name of the source for a parameter.
        counting: the name of the source that is 0, 1, 2 ...
    """

    def __init__(
        self,
        builder: Builder,
        read: Callable[[Any], Row],
        matrix: Callable[[Matrix], str],
        counting: Callable[[int], str],
    ) -> None:
        self.builder, self.read, self.matrix, self.counting = builder, read, matrix, counting

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
        return columns(self.builder, row.value, row.width, numbers.flatten())

    def reduce(self, kind: str, row: Row, over: Sequence[int]) -> Row:
        """The sum or the maximum over some of the features' dimensions, which stay with one feature each."""
        dims = tuple(1 if i in over else size for i, size in enumerate(row.dims))
        if row.width == 0:
            raise Untraceable("it reduces no features")
        value: Operand = self.builder.full(row.value, row.width)
        left, end = list(row.dims), len(row.dims)
        while end > 0:  # from the last dimension on, neighbours together
            first = end - 1
            while first > 0 and (first in over) == (first - 1 in over):
                first -= 1
            size, width = math.prod(left[first:end]), math.prod(left)
            if first in over and size > 1:
                form = (size, math.prod(left[end:])) if size < width else ()
                value = self.builder.emit(kind, value, attributes=form, width=width // size)
                left[first:end] = [1] * (end - first)
            end = first
        return row._replace(value=value, dims=dims)

    def mean(self, row: Row, over: Sequence[int]) -> Row:
        """The mean over some of the features' dimensions."""
        return self.pointwise("mul", self.reduce("sum", row, over), 1.0 / math.prod(row.dims[i] for i in over))

    def product(self, value: Operand, width: int, matrix: Matrix) -> Operand:
        """Features [.., K] by a matrix [K, N]: [.., N]."""
        k, n = matrix.shape
        groups = width // k
        of_groups = (groups,) if groups > 1 else ()
        operands = self.builder.full(value, width), self.matrix(matrix)
        return self.builder.emit("matmul", *operands, attributes=of_groups, width=groups * n)

    def turned_product(self, matrix: Matrix, row: Row) -> Operand:
        """A matrix [M, K] by features [.., K, N], or [K] alone: [.., M, N]."""
        made = self.product(self.turned(row), row.width, matrix._replace(turned=not matrix.turned))
        *before, _, n = row.dims if len(row.dims) > 1 else (*row.dims, 1)
        return self.turned(Row(made, (*before, n, matrix.shape[0])))

    def turned(self, row: Row) -> Operand:
        """The features [.., K, N] as [.., N, K]; of [K] alone as they are."""
        if len(row.dims) == 1:
            return row.value
        order = torch.arange(row.width).view(row.dims).mT
        return columns(self.builder, row.value, row.width, order.flatten())

    def products(self, left: Operand, right: Operand, count: int, n: int, k: int, m: int) -> Operand:
        """[count, n, k] by [count, k, m]: all products, then sums.

        A transposed value is multiplied as it lay before.
        """
        left_lay, right_lay = (self._before_turning(*each) for each in ((left, count, k, n), (right, count, m, k)))
        if left_lay is not None:
            pair, over = (Row(left_lay, (count, k, n, 1)), Row(right, (count, k, 1, m))), 1
        elif right_lay is not None:
            pair, over = (Row(left, (count, n, 1, k)), Row(right_lay, (count, 1, m, k))), 3
        else:
            pair, over = (Row(left, (count, n, k, 1)), Row(right, (count, 1, k, m))), 2
        return self.reduce("sum", self.pointwise("mul", *pair), [over]).value

    def _before_turning(self, value: Operand, count: int, rows: int, width: int) -> Operand | None:
        """Of what matrices [count, rows, width] a value is the transposed ones; None if it is not seen to be."""
        made = self.builder.by_name.get(str(value))
        if made is None or made.kind != "take" or rows == 1 or width == 1:
            return None
        turned = torch.arange(count * rows * width).view(count, rows, width).mT.flatten()
        source = made.operands[0]
        whole = self.builder.widths[str(source)] == len(turned)
        return source if whole and form_of_columns(turned) == made.attributes else None

    def slices(self, row: Row) -> list[Row]:
        """Along the first dimension, which is one of the features."""
        assert row.axis
        count, (_, *rest) = row.dims[0], row.dims
        width = row.width // count
        cut = [self.builder.slice(row.value, i * width, (i + 1) * width) for i in range(count)]
        return [Row(part, tuple(rest), row.axis - 1, row.groups) for part in cut]


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
