"""Traced values in whatever shape, and the operations that only move their features.

A program knows rows [B, width]. A value of more dimensions, [B, heads, F] or [heads, B, F], is a row of the same
features; what reshapes, permutes, cuts or joins such values takes columns of rows. Which ones is found by doing the
operation itself on the numbers of the columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from echoic.program import Builder, Operand
from echoic.program.operations import taken
from echoic.program.program import MOST_DIMENSIONS

ROWS = 104729  # the batch size of a recording: a prime that no feature size is taken for
_SAMPLE = 3  # rows of a batch of numbers of columns; with fewer some exchanges of rows would not be seen
_REPEATING = {torch.ops.aten.expand.default, torch.ops.aten.view.default, torch.ops.aten._unsafe_view.default,
              torch.ops.aten.clone.default}  # fmt: skip
_BY_STRIDES = (torch.ops.aten.as_strided.default, torch.ops.aten.as_strided_scatter.default)
_FEW_PIECES = 4  # of one value, up to which slices cost nothing, as they are places
_MANY_PIECES = 16  # of several values, beyond which it is cheaper to put these side by side first
MOST_PIECES = 256  # of which a value is put together, beyond which a program would be nothing but copies


class Untraceable(Exception):
    """An operation that a program cannot express."""


class Row(NamedTuple):
    """A traced value.

    value: [B, width]. dims: the shape of the features of one row, whose product is the width.
    axis: where the batch stands among them; None for parameters and numbers, which have none.
    groups: of how many features, the dimension after it, the batch is part of one dimension: [B * groups, F].
    """

    value: Operand
    dims: tuple[int, ...]
    axis: int | None = 0
    groups: int = 1

    @property
    def width(self) -> int:
        """Features of a row."""
        return math.prod(self.dims)

    def shape(self, batch: int) -> tuple[int, ...]:
        """As PyTorch sees it, for a batch of some size."""
        if self.axis is None:
            return self.dims
        after = self.axis + (self.groups > 1)
        return (*self.dims[: self.axis], batch * self.groups, *self.dims[after:])

    def feature(self, dim: int) -> int:
        """Which of the features' dimensions a dimension of the shape is; where the batch is in groups, these."""
        return dim - (self.axis is not None and dim > self.axis and self.groups == 1)


class Matrix(NamedTuple):
    """A parameter that values are multiplied with.

    node: what makes it. position: which of a stack it is, or None. turned: whether its transpose is meant.
    """

    node: fx.Node
    position: int | None = None
    turned: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """[K, N]"""
        rows, columns = shape_of(self.node)[-2:]
        return (columns, rows) if self.turned else (rows, columns)


def shape_of(node: Any) -> tuple[int, ...]:
    """The shape of what a node makes; empty where it makes no tensor."""
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def form_of(shape: Sequence[int]) -> tuple[tuple[int, ...], int, int]:
    """The features' dimensions in a recorded shape, the place of the batch, and the groups that are part of it."""
    at = [i for i, size in enumerate(shape) if size and size % ROWS == 0]
    if len(at) != 1:
        raise Untraceable("it mixes the rows of the batch")
    groups = shape[at[0]] // ROWS
    return (*shape[: at[0]], *([groups] if groups > 1 else []), *shape[at[0] + 1 :]), at[0], groups


def has_rows(shape: Sequence[int]) -> bool:
    """Whether the batch is in a recorded shape."""
    return any(size and size % ROWS == 0 for size in shape)


def repeated(node: fx.Node) -> Matrix | None:
    """The matrix that an operand [.., K, N] repeats for every row of the batch; None if it does no such thing."""
    turned = False
    while has_rows(shape := shape_of(node)):
        if len(node.all_input_nodes) != 1:
            return None
        (source,) = node.all_input_nodes
        if node.target is torch.ops.aten.permute.default:
            if list(node.args[1]) != [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]:  # pyright: ignore
                return None
            turned = not turned
        elif node.target not in _REPEATING or shape_of(source)[-2:] != shape[-2:]:
            return None
        node = source
    if len(shape) == 2:
        return Matrix(node, None, turned)
    return Matrix(node, 0, turned) if len(shape) == 3 and shape[0] == 1 else None


def columns(builder: Builder, value: Operand, width: int, numbers: Tensor) -> Operand:
    """Some columns of a value of so many, in their order."""
    return _joined(builder, [(value, width)], numbers)


def moved(builder: Builder, node: fx.Node, read: Callable[[Any], Row]) -> Any:
    """The row value, or tuple of them, of an operation that makes no new numbers."""
    rows = {source: read(source) for source in node.all_input_nodes}
    whole = {source: _cut_from(builder, row) for source, row in rows.items()}
    parts = list(dict.fromkeys((value, width) for value, width, _ in whole.values()))
    begins = dict(zip(parts, accumulate((width for _, width in parts), initial=0), strict=False))
    total = sum(width for _, width in parts)
    step = torch.full((total + 1,), total)  # from row to row; parameters and the number at the end are the same in all
    step[-1] = 0

    def numbered(argument: Any) -> Any:
        if isinstance(argument, fx.Node):
            row, (value, width, offset) = rows[argument], whole[argument]
            begin = begins[value, width]
            own = torch.arange(row.width).reshape(row.dims) + begin + offset
            if row.axis is None:
                step[begin : begin + width] = 0
                return own
            batch = torch.arange(_SAMPLE) * total
            return (own.unsqueeze(-1) + batch).movedim(-1, row.axis).reshape(row.shape(_SAMPLE)).contiguous()
        if isinstance(argument, list | tuple):
            return [numbered(each) for each in argument]
        if isinstance(argument, int) and argument and argument % ROWS == 0:
            return argument // ROWS * _SAMPLE
        return argument

    if node.target in _BY_STRIDES and not node.args[0].meta["val"].is_contiguous():  # pyright: ignore
        raise Untraceable("it takes numbers by where they lie in memory")
    arguments = [numbered(argument) for argument in node.args]
    options = {name: numbered(option) for name, option in node.kwargs.items()}
    if node.target is torch.ops.aten.constant_pad_nd.default:
        fill = arguments[2] if len(arguments) > 2 else options.pop("value", 0)
        parts.append((float(fill or 0), 1))
        arguments[2:] = [-1]
    try:
        made = node.target(*arguments, **options)  # pyright: ignore
    except (IndexError, RuntimeError) as error:
        raise Untraceable(f"it needs more rows of the batch: {str(error).splitlines()[0]}") from error
    shapes = node.meta["val"]
    if isinstance(made, Tensor):
        return _row(builder, parts, made, shapes.shape, step)
    return tuple(_row(builder, parts, part, val.shape, step) for part, val in zip(made, shapes, strict=True))


def _cut_from(builder: Builder, row: Row) -> tuple[Operand, int, int]:
    """What a value is a slice of, or the value itself; its width, and the column at which the slice begins."""
    made = builder.by_name.get(str(row.value))
    if made is None or made.kind != "slice":
        return row.value, row.width, 0
    whole = str(made.operands[0])
    return whole, builder.widths[whole], made.attributes[0]


def _row(
    builder: Builder, parts: list[tuple[Operand, int]], numbers: Tensor, shape: Sequence[int], step: Tensor
) -> Row:
    """The value whose columns have numbers [.., _SAMPLE, ..] in the rows of the batch; -1 is the last part."""
    dims, axis, groups = form_of(shape)
    total = len(step) - 1
    if numbers.shape[axis] != _SAMPLE * groups:
        raise Untraceable("it takes some rows of the batch")
    by_row = numbers.unflatten(axis, (_SAMPLE, groups)).movedim(axis, 0).reshape(_SAMPLE, -1)
    own = by_row[0] % len(step)
    expected = by_row[0] + step[own] * torch.arange(_SAMPLE).unsqueeze(1)
    if not torch.equal(by_row, expected) or (by_row[0] >= total).any():
        raise Untraceable("it mixes the rows of the batch")
    return Row(_joined(builder, parts, own), dims, axis, groups)


def _joined(builder: Builder, parts: Sequence[tuple[Operand, int]], numbers: Tensor) -> Operand:
    """Columns of values that lie side by side; of none a number, which nobody reads."""
    if len(numbers) == 0:
        return 0.0
    if len(parts) == 1 and (made := builder.by_name.get(str(parts[0][0]))) and made.kind == "take":
        source = str(made.operands[0])
        return _joined(builder, [(source, builder.widths[source])], torch.from_numpy(taken(*made.attributes))[numbers])
    begins = list(accumulate((width for _, width in parts), initial=0))
    owners = torch.bucketize(numbers, torch.tensor(begins[1:]), right=True)
    steps, changes = numbers.diff(), owners.diff() != 0
    repeats = bool((steps == 0).any()) and not (steps == 0).all()
    breaks = ((steps != 1) | changes).nonzero().flatten() + 1
    enough = _MANY_PIECES if changes.any() else 1 if repeats else _FEW_PIECES
    if len(breaks) >= enough:
        first, last = int(owners.min()), int(owners.max())
        form = form_of_columns(numbers - begins[first])
        if form is not None:
            whole = side_by_side(builder, parts[first : last + 1])
            return builder.emit("take", whole, attributes=form, width=len(numbers))
    # Of which part, from which of its columns, how many; less than 0: one so often
    runs: list[tuple[int, int, int]] = []
    starts = [0, *breaks.tolist()]
    for start, end in zip(starts, [*starts[1:], len(numbers)], strict=True):
        which = int(owners[start])
        low, count = int(numbers[start]) - begins[which], end - start
        if count == 1 and runs and runs[-1][:2] == (which, low) and runs[-1][2] < 0:
            runs[-1] = (which, low, runs[-1][2] - 1)
        else:
            runs.append((which, low, count if count > 1 else -1))
    if len(runs) > MOST_PIECES:
        raise Untraceable(f"it puts a value together of {len(runs)} pieces")
    pieces = []
    for which, low, count in runs:
        value = builder.slice(parts[which][0], low, low + max(count, 1))
        pieces.append((builder.spread(value, max(-count, 1)) if count < 0 else value, abs(count)))
    return pieces[0][0] if len(pieces) == 1 else side_by_side(builder, pieces)


def side_by_side(builder: Builder, parts: Sequence[tuple[Operand, int]]) -> str:
    """Values of so many columns as one."""
    full = [builder.full(*part) for part in parts]
    return full[0] if len(full) == 1 else str(builder.emit("concat", *full, width=sum(width for _, width in parts)))


def form_of_columns(numbers: Tensor) -> tuple[int, ...] | None:
    """Offset, then size and stride of each dimension, if numbers are what ``take`` takes with so many dimensions."""
    left, form = numbers, []
    while len(left) > 1 and len(form) < MOST_DIMENSIONS:
        stride = int(left[1] - left[0])
        breaks = (left.diff() != stride).nonzero()
        longest = int(breaks[0]) + 1 if len(breaks) else len(left)
        fitting = (size for size in range(longest, 1, -1) if _level(left, size, stride))
        size = next(fitting, None)
        if size is None:
            return None
        form.append((size, stride))
        left = left[::size]
    return (int(left[0]), *(number for pair in reversed(form) for number in pair)) if len(left) == 1 else None


def _level(numbers: Tensor, size: int, stride: int) -> bool:
    """Whether numbers are runs of a size, in each of which they grow by a stride."""
    if len(numbers) % size:
        return False
    runs = numbers.view(-1, size)
    return torch.equal(runs, runs[:, :1] + torch.arange(size) * stride)
