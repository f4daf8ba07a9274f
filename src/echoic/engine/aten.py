"""What PyTorch's operations mean in a program: one small function for each."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from echoic.engine import indexing
from echoic.engine.moving import Matrix, Row, Untraceable, form_of, has_rows, moved, repeated, shape_of, side_by_side
from echoic.engine.translator import Translator

aten = torch.ops.aten


def translate(translator: Translator, node: fx.Node) -> Any:
    """The row value, or tuple of them, that a node makes."""
    packet = getattr(node.target, "overloadpacket", node.target)
    handler = HANDLERS.get(getattr(aten, _name(node)[:-1]) if in_place(node) else packet)
    if handler is None:
        raise Untraceable(f"the operation {packet} has no counterpart in a program")
    return handler(translator, node)


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
    """add and sub, whose second operand may have a factor ``alpha``. The sum of two truths is that either is one."""

    def handler(translator: Translator, node: fx.Node) -> Row:
        first, second = node.args[:2]
        alpha = node.kwargs.get("alpha", 1)
        which = "maximum" if node.meta["val"].dtype == torch.bool else kind
        return translator.pointwise(which, first, second if alpha == 1 else translator.pointwise("mul", second, alpha))

    return handler


def _same(translator: Translator, node: fx.Node) -> Row:
    return translator.read(node.args[0])


def _converted(translator: Translator, node: fx.Node) -> Row:
    """To another type of numbers: to truths and whole numbers, not to shorter ones."""
    row = translator.read(node.args[0])
    before, after = node.args[0].meta["val"].dtype, node.meta["val"].dtype  # pyright: ignore
    if after == torch.bool != before:
        return translator.pointwise("ne", row, 0.0)
    if not before.is_floating_point:
        return row
    if not after.is_floating_point:
        return _towards_zero(translator, row)
    if after.itemsize < before.itemsize:
        raise Untraceable(f"it rounds values to {after}; programs keep the type that they calculate in")
    return row


def _towards_zero(translator: Translator, row: Row) -> Row:
    whole = translator.pointwise("floor", translator.pointwise("abs", row))
    return translator.pointwise("mul", translator.pointwise("sign", row), whole)


def _division(translator: Translator, node: fx.Node) -> Row:
    quotient = translator.pointwise("div", *node.args[:2])
    mode = _argument(node, 2, "rounding_mode")
    if mode == "floor":
        return translator.pointwise("floor", quotient)
    return _towards_zero(translator, quotient) if mode == "trunc" else quotient


def _moved(translator: Translator, node: fx.Node) -> Any:
    return moved(translator.builder, node, translator.read)


def in_place(node: fx.Node) -> bool:
    """Whether a node writes over its first argument, as some decompositions do."""
    return _name(node).endswith("_") and hasattr(aten, _name(node)[:-1])


def _name(node: fx.Node) -> str:
    return getattr(getattr(node.target, "overloadpacket", None), "__name__", "")


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


def _log_softmax(translator: Translator, node: fx.Node) -> Row:
    over = _features(node, node.args[1])
    row = translator.read(node.args[0])
    moved = translator.pointwise("sub", row, translator.reduce("max", row, over))
    total = translator.reduce("sum", translator.pointwise("exp", moved), over)
    return translator.pointwise("sub", moved, translator.pointwise("log", total))


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
    if isinstance(row.value, float) and row.value > 0:
        return translator.pointwise("exp", translator.pointwise("mul", exponent, math.log(row.value)))
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
    return _product(translator, *operands_of(node))


def _product(translator: Translator, first: fx.Node, second: fx.Node) -> Row:
    """[B * G, K] by a matrix [K, N], or a matrix [M, K] by [K, B * G]."""
    left, right = _operand(translator, first), _operand(translator, second)
    if isinstance(left, Row) and right is None and left.axis == 0:
        made = translator.product(left.value, left.width, Matrix(second))
        return left._replace(value=made, dims=(*left.dims[:-1], shape_of(second)[1]))
    if left is None and isinstance(right, Row) and right.axis == 1:
        made = translator.turned_product(Matrix(first), right)
        return right._replace(value=made, dims=(shape_of(first)[0], *right.dims[1:]))
    raise Untraceable("it multiplies values of the step with each other; programs multiply them by parameters")


def operands_of(node: fx.Node) -> tuple[fx.Node, fx.Node]:
    """The two operands of a product."""
    first, second = node.args[:2]
    assert isinstance(first, fx.Node)
    assert isinstance(second, fx.Node)
    return first, second


def _operand(translator: Translator, node: fx.Node) -> Row | None:
    """The value of a row, or None of a parameter."""
    return translator.read(node) if has_rows(shape_of(node)) else None


def _add_matmul(translator: Translator, node: fx.Node) -> Row:
    product = _product(translator, node.args[1], node.args[2])  # pyright: ignore
    beta, alpha = node.kwargs.get("beta", 1), node.kwargs.get("alpha", 1)
    added = node.args[0] if beta == 1 else translator.pointwise("mul", node.args[0], beta)
    return translator.pointwise("add", product if alpha == 1 else translator.pointwise("mul", product, alpha), added)


def _stacked_matmul(translator: Translator, node: fx.Node) -> Row:
    """A matrix for each group of features, [S, B * G, K] by [S, K, N] or [S, M, K] by [S, K, B * G]; one for all,
    [M, K] by [B * G, K, N] or [B * G, M, K] by [K, N]; or two values, row by row, [B * G, M, K] by [B * G, K, N]."""
    first, second = operands_of(node)
    left, right = _operand(translator, first), _operand(translator, second)
    form = form_of(shape_of(node))
    if isinstance(left, Row) and right is None and left.axis == 1:
        made = [translator.product(p.value, p.width, Matrix(second, i)) for i, p in enumerate(translator.slices(left))]
    elif left is None and isinstance(right, Row) and right.axis == 2:
        made = [translator.turned_product(Matrix(first, i), part) for i, part in enumerate(translator.slices(right))]
    elif isinstance(left, Row) and isinstance(right, Row) and left.axis == right.axis == 0:
        if (matrix := repeated(first)) is not None:
            made = [translator.turned_product(matrix, right)]
        elif (matrix := repeated(second)) is not None:
            made = [translator.product(left.value, left.width, matrix)]
        else:
            sizes = form[2], left.dims[-2], left.dims[-1], right.dims[-1]
            made = [translator.products(left.value, right.value, *sizes)]
    else:
        raise Untraceable("it multiplies values of the step with each other; programs multiply them by parameters")
    return Row(side_by_side(translator.builder, [(part, math.prod(form[0]) // len(made)) for part in made]), *form)


def _overwrite(translator: Translator, node: fx.Node) -> Row:
    form = form_of(shape_of(node))
    return Row(translator.spread(translator.read(node.args[1]), *form), *form)


def _item(translator: Translator, node: fx.Node) -> Any:
    raise AssertionError("taken from its tuple by the tracer")


_SAME_NAME = (
    "neg abs sign floor relu exp expm1 log log1p sqrt rsqrt reciprocal sin cos sigmoid tanh erf "
    "mul maximum minimum lt le eq ne where"
)
_NOTHING_TO_ROWS = "clone alias detach lift_fresh_copy"
_MOVE_FEATURES = (
    "view reshape _unsafe_view unsqueeze squeeze expand permute t transpose slice select split split_with_sizes unbind "
    "cat stack slice_scatter select_scatter constant_pad_nd repeat flip roll diagonal "
    "as_strided as_strided_scatter"
)
HANDLERS: dict[Any, Callable[[Translator, fx.Node], Any]] = {
    operator.getitem: _item,
    **{getattr(aten, name): _map(name) for name in _SAME_NAME.split()},
    **{getattr(aten, name): _same for name in _NOTHING_TO_ROWS.split()},
    **{getattr(aten, name): _moved for name in _MOVE_FEATURES.split()},
    aten._to_copy: _converted,
    torch.ops.prims.convert_element_type: _converted,
    aten.div: _division,
    aten.exp2: lambda translator, node: translator.pointwise(
        "exp", translator.pointwise("mul", node.args[0], math.log(2))
    ),
    aten.trunc: lambda translator, node: _towards_zero(translator, translator.read(node.args[0])),
    aten.ceil: lambda translator, node: translator.pointwise(
        "neg", translator.pointwise("floor", translator.pointwise("neg", node.args[0]))
    ),
    aten.sgn: _map("sign"),
    aten.gt: _turned("lt"),
    aten.ge: _turned("le"),
    aten.add: _scaled("add"),
    aten.sub: _scaled("sub"),
    aten.logical_not: lambda translator, node: translator.pointwise("eq", node.args[0], 0.0),
    aten.bitwise_not: lambda translator, node: translator.pointwise("eq", node.args[0], 0.0),
    aten.logical_and: _map("mul"),
    aten.bitwise_and: _map("mul"),
    aten.logical_or: _map("maximum"),
    aten.bitwise_or: _map("maximum"),
    aten.sigmoid_backward: _map("sigmoid_grad"),
    aten.tanh_backward: _map("tanh_grad"),
    aten.copy: _overwrite,
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
    aten._log_softmax: _log_softmax,
    aten.max: indexing.largest,
    aten.min: indexing.smallest,
    aten.argmax: indexing.number_of_largest,
    aten.argmin: indexing.number_of_smallest,
    aten.gather: indexing.gathered,
    aten.scatter: indexing.scattered,
    aten.scatter_add: indexing.added_up,
    aten.cumsum: indexing.running_sum,
    aten.mm: _matmul,
    aten.addmm: _add_matmul,
    aten.bmm: _stacked_matmul,
}  # fmt: skip
