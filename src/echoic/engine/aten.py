"""What PyTorch's operations mean in a program: one small function for each."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import fx

from echoic.errors import ProgramError
from echoic.program import Builder, Operand

aten = torch.ops.aten


class Row(NamedTuple):
    """A traced value of [B, width] or, as sums without ``keepdim`` give it, [B]."""

    value: Operand
    width: int
    transposed: bool = False


class Untraceable(Exception):
    """An operation that a program cannot express."""


class Translator:
    """Turns nodes on row values into operations of a builder.

    Args:
        builder: what operations are written to.
        read: the row value of a node or a number; parameters become sources.
        matrix: the name of the source for a node that is a matrix parameter.
    """

    def __init__(self, builder: Builder, read: Callable[[Any], Row], matrix: Callable[[fx.Node], str]) -> None:
        self.builder, self.read, self.matrix = builder, read, matrix

    def translate(self, node: fx.Node) -> Any:
        """The row value, or tuple of them, that a node makes."""
        packet = getattr(node.target, "overloadpacket", node.target)
        handler = HANDLERS.get(packet)
        if handler is None:
            raise Untraceable(f"the operation {packet} has no counterpart in a program")
        return handler(self, node)

    def pointwise(self, kind: str, *arguments: Any) -> Row:
        """An operation on values of one width after spreading single columns."""
        rows = [argument if isinstance(argument, Row) else self.read(argument) for argument in arguments]
        if any(row.transposed for row in rows):
            raise Untraceable("it works on a transposed batch")
        width = max(row.width for row in rows)
        operands = [self.builder.spread(row.value, width) for row in rows]
        try:
            return Row(self.builder.emit(kind, *operands, width=width), width)
        except ProgramError as error:
            raise Untraceable(str(error)) from None

    def reduce(self, kind: str, row: Row) -> Row:
        """The sum or the maximum over the features."""
        if row.width == 1:
            return row
        return Row(self.builder.emit(kind, self.builder.full(row.value, row.width), width=1), 1)

    def mean(self, row: Row) -> Row:
        return self.pointwise("mul", self.reduce("sum", row), 1.0 / row.width)

    def matmul(self, value: Any, parameter: Any) -> Row:
        row = self.read(value)
        if not isinstance(parameter, fx.Node) or row.transposed:
            raise Untraceable("it multiplies values of the step with each other; programs multiply them by parameters")
        columns = int(parameter.meta["val"].shape[1])
        operand = self.builder.full(row.value, row.width)
        return Row(self.builder.emit("matmul", operand, self.matrix(parameter), width=columns), columns)


def _shape(node: Any) -> tuple[int, ...]:
    return tuple(node.meta["val"].shape)


def _argument(node: fx.Node, position: int, name: str, default: Any = None) -> Any:
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)


def _of_features(node: fx.Node, dims: Any) -> None:
    """Refuse reductions that are not over the features of a row."""
    rank = len(_shape(node.args[0]))
    dims = [dims] if isinstance(dims, int) else list(dims or range(rank))
    if rank != 2 or [dim % rank for dim in dims] != [1]:
        raise Untraceable(f"it reduces dimensions {dims} of a value of rank {rank}; programs reduce over the features")


def _map(kind: str) -> Callable[[Translator, fx.Node], Row]:
    return lambda translator, node: translator.pointwise(kind, *node.args)


def _turned(kind: str) -> Callable[[Translator, fx.Node], Row]:
    """A comparison whose operands are exchanged."""
    return lambda translator, node: translator.pointwise(kind, node.args[1], node.args[0])


def _scaled(kind: str) -> Callable[[Translator, fx.Node], Row]:
    """add and sub, whose second operand may have a factor ``alpha``."""

    def handler(translator: Translator, node: fx.Node) -> Row:
        first, second = node.args[:2]
        alpha = node.kwargs.get("alpha", 1)
        return translator.pointwise(kind, first, second if alpha == 1 else translator.pointwise("mul", second, alpha))

    return handler


def _same(translator: Translator, node: fx.Node) -> Row:
    """Operations that leave every row as it is."""
    row = translator.read(node.args[0])
    shape = _shape(node)
    width = 1 if len(shape) == 1 else shape[-1]
    if len(shape) > 2 or width != row.width:
        raise Untraceable(f"it gives a value the shape {list(shape)}; programs keep [B, features]")
    return row


def _expand(translator: Translator, node: fx.Node) -> Row:
    row, shape = translator.read(node.args[0]), _shape(node)
    if len(shape) != 2:
        raise Untraceable(f"it expands a value to {len(shape)} dimensions")
    return Row(translator.builder.spread(row.value, shape[1]), shape[1])


def _split(translator: Translator, node: fx.Node) -> tuple[Row, ...]:
    row, sizes = translator.read(node.args[0]), _argument(node, 1, "split_sizes")
    if _argument(node, 2, "dim", 0) % 2 != 1:
        raise Untraceable("it splits the batch")
    if isinstance(sizes, int):
        sizes = [min(sizes, row.width - at) for at in range(0, row.width, sizes)]
    parts, at = [], 0
    for size in sizes:
        parts.append(Row(translator.builder.slice(row.value, at, at + size), size))
        at += size
    return tuple(parts)


def _slice(translator: Translator, node: fx.Node) -> Row:
    row, dim = translator.read(node.args[0]), _argument(node, 1, "dim", 0)
    size = _shape(node.args[0])[dim]
    start, stop = _argument(node, 2, "start") or 0, _argument(node, 3, "end")
    start, stop, _ = slice(start, stop).indices(size)
    if _argument(node, 4, "step", 1) != 1 or (dim == 0 and (start, stop) != (0, size)):
        raise Untraceable("it takes some rows of the batch, or features at intervals")
    return row if dim == 0 else Row(translator.builder.slice(row.value, start, stop), stop - start)


def _select(translator: Translator, node: fx.Node) -> Row:
    row, dim, index = translator.read(node.args[0]), node.args[1], node.args[2]
    if dim % 2 != 1:  # pyright: ignore
        raise Untraceable("it takes one row of the batch")
    index = int(index) % row.width  # pyright: ignore
    return Row(translator.builder.slice(row.value, index, index + 1), 1)


def _concat(translator: Translator, node: fx.Node) -> Row:
    if _argument(node, 1, "dim", 0) % 2 != 1:
        raise Untraceable("it joins along the batch")
    rows = [(translator.read(part), _shape(part)[1]) for part in node.args[0]]  # pyright: ignore
    return _joined(translator, rows)


def _joined(translator: Translator, rows: list[tuple[Row, int]]) -> Row:
    parts = [translator.builder.full(translator.builder.spread(row.value, width), width) for row, width in rows]
    total = sum(width for _, width in rows)
    return (
        Row(parts[0], total) if len(parts) == 1 else Row(translator.builder.emit("concat", *parts, width=total), total)
    )


def _slice_scatter(translator: Translator, node: fx.Node) -> Row:
    base, part = translator.read(node.args[0]), translator.read(node.args[1])
    dim = _argument(node, 2, "dim", 0)
    width = _shape(node)[1]
    start, stop, _ = slice(_argument(node, 3, "start"), _argument(node, 4, "end")).indices(_shape(node)[dim])
    if dim == 0:
        return part
    pieces = [(Row(translator.builder.slice(base.value, 0, start), start), start)] if start else []
    pieces.append((part, stop - start))
    if stop < width:
        pieces.append((Row(translator.builder.slice(base.value, stop, width), width - stop), width - stop))
    return _joined(translator, pieces)


def _pad(translator: Translator, node: fx.Node) -> Row:
    row, padding = translator.read(node.args[0]), node.args[1]
    left, right, *more = (int(size) for size in padding)  # pyright: ignore
    fill = float(_argument(node, 2, "value", 0) or 0)
    if any(more) or left < 0 or right < 0:
        raise Untraceable("it pads along the batch or cuts")
    parts = [(Row(fill, left), left)] * bool(left) + [(row, row.width)] + [(Row(fill, right), right)] * bool(right)
    return _joined(translator, parts)


def _permute(translator: Translator, node: fx.Node) -> Row:
    row = translator.read(node.args[0])
    if len(_shape(node)) != 2:
        raise Untraceable("it permutes more than two dimensions")
    turned = packet_is(node, aten.t) or packet_is(node, aten.transpose) or list(node.args[1]) == [1, 0]  # pyright: ignore
    return row._replace(transposed=row.transposed != turned)


def packet_is(node: fx.Node, packet: Any) -> bool:
    """Whether a node calls some overload of an operation."""
    return getattr(node.target, "overloadpacket", None) is packet


def _sum(translator: Translator, node: fx.Node) -> Row:
    _of_features(node, _argument(node, 1, "dim"))
    return translator.reduce("sum", translator.read(node.args[0]))


def _mean(translator: Translator, node: fx.Node) -> Row:
    _of_features(node, _argument(node, 1, "dim"))
    return translator.mean(translator.read(node.args[0]))


def _max(translator: Translator, node: fx.Node) -> Row:
    _of_features(node, _argument(node, 1, "dim"))
    return translator.reduce("max", translator.read(node.args[0]))


def _min(translator: Translator, node: fx.Node) -> Row:
    _of_features(node, _argument(node, 1, "dim"))
    negative = translator.pointwise("neg", translator.read(node.args[0]))
    return translator.pointwise("neg", translator.reduce("max", negative))


def _variance(translator: Translator, row: Row, correction: float) -> tuple[Row, Row]:
    mean = translator.mean(row)
    centred = translator.pointwise("sub", row, mean)
    squares = translator.reduce("sum", translator.pointwise("mul", centred, centred))
    return translator.pointwise("mul", squares, 1.0 / (row.width - correction)), mean


def _var(translator: Translator, node: fx.Node) -> Row:
    _of_features(node, _argument(node, 1, "dim"))
    return _variance(translator, translator.read(node.args[0]), node.kwargs.get("correction", 1))[0]  # pyright: ignore


def _var_mean(translator: Translator, node: fx.Node) -> tuple[Row, Row]:
    _of_features(node, _argument(node, 1, "dim"))
    return _variance(translator, translator.read(node.args[0]), node.kwargs.get("correction", 1))  # pyright: ignore


def _layer_norm(translator: Translator, node: fx.Node) -> tuple[Row, Row, Row]:
    value, shape, weight, bias, epsilon = node.args
    row = translator.read(value)
    if list(shape) != [row.width]:  # pyright: ignore
        raise Untraceable("it normalises over more than the features")
    variance, mean = _variance(translator, row, 0)
    scale = translator.pointwise("rsqrt", translator.pointwise("add", variance, epsilon))
    made = translator.pointwise("mul", translator.pointwise("sub", row, mean), scale)
    if weight is not None:
        made = translator.pointwise("mul", made, weight)
    if bias is not None:
        made = translator.pointwise("add", made, bias)
    return made, mean, scale


def _softmax(translator: Translator, node: fx.Node) -> Row:
    _of_features(node, node.args[1])
    row = translator.read(node.args[0])
    grown = translator.pointwise("exp", translator.pointwise("sub", row, translator.reduce("max", row)))
    return translator.pointwise("div", grown, translator.reduce("sum", grown))


def _softplus(translator: Translator, node: fx.Node) -> Row:
    beta, threshold = _argument(node, 1, "beta", 1), _argument(node, 2, "threshold", 20)
    scaled = translator.pointwise("mul", node.args[0], beta)
    soft = translator.pointwise("div", translator.pointwise("softplus", scaled), beta)
    return translator.pointwise("where", translator.pointwise("lt", threshold, scaled), node.args[0], soft)


def _clamp(translator: Translator, node: fx.Node) -> Row:
    row = translator.read(node.args[0])
    low, high = _argument(node, 1, "min"), _argument(node, 2, "max")
    row = row if low is None else translator.pointwise("maximum", row, low)
    return row if high is None else translator.pointwise("minimum", row, high)


def _power(translator: Translator, node: fx.Node) -> Row:
    row, exponent = translator.read(node.args[0]), node.args[1]
    roots = {0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal"}
    if exponent in roots:
        return translator.pointwise(roots[exponent], row)  # pyright: ignore
    if not isinstance(exponent, int | float) or exponent % 0.5 or not 0 < abs(exponent) <= 8:
        raise Untraceable(f"it raises to the power {exponent}; write it with exp and log")
    power = row
    for _ in range(int(abs(exponent)) - 1):
        power = translator.pointwise("mul", power, row)
    if exponent % 1:
        power = translator.pointwise("mul", power, translator.pointwise("sqrt", row))
    return power if exponent > 0 else translator.pointwise("reciprocal", power)


def _remainder(translator: Translator, node: fx.Node) -> Row:
    value, divisor = node.args
    times = translator.pointwise("floor", translator.pointwise("div", value, divisor))
    return translator.pointwise("sub", value, translator.pointwise("mul", times, divisor))


def _matmul(translator: Translator, node: fx.Node) -> Row:
    return translator.matmul(node.args[0], node.args[1])


def _add_matmul(translator: Translator, node: fx.Node) -> Row:
    product = translator.matmul(node.args[1], node.args[2])
    beta, alpha = node.kwargs.get("beta", 1), node.kwargs.get("alpha", 1)
    added = node.args[0] if beta == 1 else translator.pointwise("mul", node.args[0], beta)
    return translator.pointwise("add", product if alpha == 1 else translator.pointwise("mul", product, alpha), added)


def _overwrite(translator: Translator, node: fx.Node) -> Row:
    width, row = _shape(node)[1], translator.read(node.args[1])
    return Row(translator.builder.spread(row.value, width), width)


def _item(translator: Translator, node: fx.Node) -> Any:
    raise AssertionError("taken from its tuple by the tracer")


_SAME_NAME = (
    "neg abs sign floor relu exp expm1 log log1p sqrt rsqrt reciprocal sin cos sigmoid tanh "
    "mul div maximum minimum lt le eq ne where"
)
_NOTHING_TO_ROWS = "clone alias detach view reshape unsqueeze squeeze _to_copy _unsafe_view lift_fresh_copy"
HANDLERS: dict[Any, Callable[[Translator, fx.Node], Any]] = {
    operator.getitem: _item,
    **{getattr(aten, name): _map(name) for name in _SAME_NAME.split()},
    **{getattr(aten, name): _same for name in _NOTHING_TO_ROWS.split()},
    torch.ops.prims.convert_element_type: _same,
    aten.sgn: _map("sign"),
    aten.gt: _turned("lt"),
    aten.ge: _turned("le"),
    aten.add: _scaled("add"),
    aten.sub: _scaled("sub"),
    aten.logical_not: lambda translator, node: translator.pointwise("eq", node.args[0], 0.0),
    aten.bitwise_not: lambda translator, node: translator.pointwise("eq", node.args[0], 0.0),
    aten.logical_and: _map("mul"),
    aten.logical_and_: _map("mul"),  # of two comparisons, in the derivative of clamp
    aten.bitwise_and: _map("mul"),
    aten.logical_or: _map("maximum"),
    aten.bitwise_or: _map("maximum"),
    aten.sigmoid_backward: _map("sigmoid_grad"),
    aten.tanh_backward: _map("tanh_grad"),
    aten.copy_: _overwrite,
    aten.softplus: _softplus,
    aten.clamp: _clamp,
    aten.clamp_min: lambda translator, node: translator.pointwise("maximum", *node.args),
    aten.clamp_max: lambda translator, node: translator.pointwise("minimum", *node.args),
    aten.pow: _power,
    aten.remainder: _remainder,
    aten.expand: _expand,
    aten.split_with_sizes: _split,
    aten.split: _split,
    aten.slice: _slice,
    aten.select: _select,
    aten.cat: _concat,
    aten.slice_scatter: _slice_scatter,
    aten.constant_pad_nd: _pad,
    aten.permute: _permute,
    aten.t: _permute,
    aten.transpose: _permute,
    aten.sum: _sum,
    aten.mean: _mean,
    aten.amax: _max,
    aten.amin: _min,
    aten.var: _var,
    aten.var_mean: _var_mean,
    aten.native_layer_norm: _layer_norm,
    aten._softmax: _softmax,
    aten.mm: _matmul,
    aten.addmm: _add_matmul,
}  # fmt: skip
