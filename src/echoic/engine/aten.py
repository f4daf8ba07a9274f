"""What PyTorch's operations mean in a program: one small function for each."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from echoic.engine.moving import ROWS, Row, Untraceable, columns, form_of, has_rows, moved, shape_of
from echoic.errors import ProgramError
from echoic.program import Builder, Operand

aten = torch.ops.aten


class Translator:
    """Turns nodes on row values into operations of a builder.

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

    def translate(self, node: fx.Node) -> Any:
        """The row value, or tuple of them, that a node makes."""
        packet = getattr(node.target, "overloadpacket", node.target)
        handler = HANDLERS.get(packet)
        if handler is None:
            raise Untraceable(f"the operation {packet} has no counterpart in a program")
        return handler(self, node)

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
        count, size = math.prod(dims), row.width // math.prod(dims)
        if size == 1:
            return row
        value = self.builder.full(row.value, row.width)
        order = torch.arange(row.width).reshape(row.dims).movedim(list(over), list(range(-len(over), 0)))
        groups: list[list[int]] = order.reshape(count, size).tolist()
        if count > 1 and groups == torch.arange(row.width).reshape(size, count).t().tolist():  # the first dimensions
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
        columns = shape_of(parameter)[-2 if turned else -1]
        matrix = self.matrix(parameter, position, turned)
        return self.builder.emit("matmul", self.builder.full(row.value, row.width), matrix, width=columns)

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


def _argument(node: fx.Node, position: int, name: str, default: Any = None) -> Any:
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)


def _features(node: fx.Node, dims: Any) -> list[int]:
    """Which of the features' dimensions are meant by some of a node's first argument; none may be the batch."""
    shape = shape_of(node.args[0])
    row, rank = Row(0.0, *form_of(shape)), len(shape)
    dims = [dims] if isinstance(dims, int) else list(dims or range(rank))
    found = sorted(dim % rank for dim in dims)
    if row.axis in found:
        raise Untraceable(f"it reduces dimensions {dims} of a value of rank {rank}; programs reduce over the features")
    return [row.feature(dim) for dim in found]


def _shaped(row: Row, node: fx.Node) -> Row:
    """A value in the shape that a node gives it, which has the same features."""
    return Row(row.value, *form_of(shape_of(node)))


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
    return translator.read(node.args[0])


def _moved(translator: Translator, node: fx.Node) -> Any:
    return moved(translator.builder, node, translator.read)


def packet_is(node: fx.Node, packet: Any) -> bool:
    """Whether a node calls some overload of an operation."""
    return getattr(node.target, "overloadpacket", None) is packet


def _reduction(kind: str) -> Callable[[Translator, fx.Node], Row]:
    def handler(translator: Translator, node: fx.Node) -> Row:
        over = _features(node, _argument(node, 1, "dim"))
        return _shaped(translator.reduce(kind, translator.read(node.args[0]), over), node)

    return handler


def _mean(translator: Translator, node: fx.Node) -> Row:
    over = _features(node, _argument(node, 1, "dim"))
    return _shaped(translator.mean(translator.read(node.args[0]), over), node)


def _min(translator: Translator, node: fx.Node) -> Row:
    over = _features(node, _argument(node, 1, "dim"))
    negative = translator.pointwise("neg", translator.read(node.args[0]))
    return _shaped(translator.pointwise("neg", translator.reduce("max", negative, over)), node)


def _variance(translator: Translator, row: Row, over: Sequence[int], correction: float) -> tuple[Row, Row]:
    mean = translator.mean(row, over)
    centred = translator.pointwise("sub", row, mean)
    squares = translator.reduce("sum", translator.pointwise("mul", centred, centred), over)
    count = math.prod(row.dims[i] for i in over)
    return translator.pointwise("mul", squares, 1.0 / (count - correction)), mean


def _var(translator: Translator, node: fx.Node) -> Row:
    over = _features(node, _argument(node, 1, "dim"))
    row, correction = translator.read(node.args[0]), node.kwargs.get("correction", 1)
    return _shaped(_variance(translator, row, over, correction)[0], node)  # pyright: ignore


def _var_mean(translator: Translator, node: fx.Node) -> tuple[Row, Row]:
    over = _features(node, _argument(node, 1, "dim"))
    row, correction = translator.read(node.args[0]), node.kwargs.get("correction", 1)
    variance, mean = _variance(translator, row, over, correction)  # pyright: ignore
    form = form_of(node.meta["val"][0].shape)
    return Row(variance.value, *form), Row(mean.value, *form)


def _layer_norm(translator: Translator, node: fx.Node) -> tuple[Row, Row, Row]:
    value, shape, weight, bias, epsilon = node.args
    row = translator.read(value)
    over = _features(node, [-1 - i for i in range(len(shape))])  # pyright: ignore
    variance, mean = _variance(translator, row, over, 0)
    scale = translator.pointwise("rsqrt", translator.pointwise("add", variance, epsilon))
    made = translator.pointwise("mul", translator.pointwise("sub", row, mean), scale)
    if weight is not None:
        made = translator.pointwise("mul", made, weight)
    if bias is not None:
        made = translator.pointwise("add", made, bias)
    return made, mean, scale


def _softmax(translator: Translator, node: fx.Node) -> Row:
    over = _features(node, node.args[1])
    row = translator.read(node.args[0])
    grown = translator.pointwise("exp", translator.pointwise("sub", row, translator.reduce("max", row, over)))
    return translator.pointwise("div", grown, translator.reduce("sum", grown, over))


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
    return _product(translator, *node.args[:2])  # pyright: ignore


def _product(translator: Translator, first: fx.Node, second: fx.Node) -> Row:
    """[B, K] by a matrix [K, N], [B * G, K] likewise, or a matrix [N, K] by [K, B]."""
    left, right = _operand(translator, first), _operand(translator, second)
    if isinstance(left, Row) and right is None and left.axis == 0:
        rows = [left] if left.groups == 1 else translator.slices(left)
        width = shape_of(second)[1]
        made = translator.joined([(translator.product(row, second), width) for row in rows])
        return left._replace(value=made, dims=(*left.dims[:-1], width))
    if left is None and isinstance(right, Row) and right.axis == 1 and right.groups == 1:
        return Row(translator.product(right, first, turned=True), shape_of(first)[:1], 1)
    raise Untraceable("it multiplies values of the step with each other; programs multiply them by parameters")


def _operand(translator: Translator, node: fx.Node) -> Row | None:
    """The value of a row, or None of a parameter."""
    return translator.read(node) if has_rows(shape_of(node)) else None


def _add_matmul(translator: Translator, node: fx.Node) -> Row:
    product = _product(translator, node.args[1], node.args[2])  # pyright: ignore
    beta, alpha = node.kwargs.get("beta", 1), node.kwargs.get("alpha", 1)
    added = node.args[0] if beta == 1 else translator.pointwise("mul", node.args[0], beta)
    return translator.pointwise("add", product if alpha == 1 else translator.pointwise("mul", product, alpha), added)


def _stacked_matmul(translator: Translator, node: fx.Node) -> Row:
    """A matrix for each group of features, [G, B, K] by [G, K, N] or [G, N, K] by [G, K, B]; or two values, row by row,
    [B, N, K] by [B, K, M]."""
    first, second = node.args[:2]
    left, right = _operand(translator, first), _operand(translator, second)  # pyright: ignore
    dims, axis, groups = form_of(shape_of(node))
    if isinstance(left, Row) and right is None and left.axis == 1 and groups == 1:
        parts = [translator.product(part, second, i) for i, part in enumerate(translator.slices(left))]  # pyright: ignore
    elif left is None and isinstance(right, Row) and right.axis == 2 and groups == 1:
        parts = [translator.product(part, first, i, True) for i, part in enumerate(translator.slices(right))]  # pyright: ignore
    elif isinstance(left, Row) and isinstance(right, Row) and left.axis == right.axis == 0 and groups == 1:
        (n, k), (_, m) = left.dims, right.dims
        turned = columns(translator.builder, right.value, k * m, torch.arange(k * m).view(k, m).t().flatten().tolist())
        every = translator.pointwise("mul", Row(left.value, (n, 1, k)), Row(turned, (1, m, k)))
        return Row(translator.reduce("sum", every, [2]).value, dims, axis)
    else:
        raise Untraceable("it multiplies values of the step with each other; programs multiply them by parameters")
    return Row(translator.joined([(part, dims[1]) for part in parts]), dims, axis)


def _overwrite(translator: Translator, node: fx.Node) -> Row:
    form = form_of(shape_of(node))
    return Row(translator.spread(translator.read(node.args[1]), *form), *form)


def _item(translator: Translator, node: fx.Node) -> Any:
    raise AssertionError("taken from its tuple by the tracer")


_SAME_NAME = (
    "neg abs sign floor relu exp expm1 log log1p sqrt rsqrt reciprocal sin cos sigmoid tanh "
    "mul div maximum minimum lt le eq ne where"
)
_NOTHING_TO_ROWS = "clone alias detach _to_copy lift_fresh_copy"
_MOVE_FEATURES = (
    "view reshape _unsafe_view unsqueeze squeeze expand permute t transpose slice select split split_with_sizes unbind "
    "cat stack slice_scatter select_scatter constant_pad_nd repeat flip roll diagonal"
)
HANDLERS: dict[Any, Callable[[Translator, fx.Node], Any]] = {
    operator.getitem: _item,
    **{getattr(aten, name): _map(name) for name in _SAME_NAME.split()},
    **{getattr(aten, name): _same for name in _NOTHING_TO_ROWS.split()},
    **{getattr(aten, name): _moved for name in _MOVE_FEATURES.split()},
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
    aten.sum: _reduction("sum"),
    aten.mean: _mean,
    aten.amax: _reduction("max"),
    aten.amin: _min,
    aten.var: _var,
    aten.var_mean: _var_mean,
    aten.native_layer_norm: _layer_norm,
    aten._softmax: _softmax,
    aten.mm: _matmul,
    aten.addmm: _add_matmul,
    aten.bmm: _stacked_matmul,
}  # fmt: skip
