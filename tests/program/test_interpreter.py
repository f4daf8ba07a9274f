"""What operations mean, by torch's account of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from echoic.errors import ProgramError
from echoic.program import Operation, Program, Source, interpret
from echoic.program.operations import POINTWISE, REDUCTIONS, Array

SPECIAL = [0.0, -0.0, float("inf"), float("-inf"), float("nan"), 1e-310, -1e300, 40.0, -800.0, 0.5, -1.0]


def of_sigmoid(gradient: Tensor, y: Tensor) -> Tensor:
    return torch.ops.aten.sigmoid_backward(gradient, y)


def of_tanh(gradient: Tensor, y: Tensor) -> Tensor:
    return torch.ops.aten.tanh_backward(gradient, y)


TORCH: dict[str, Callable[..., Tensor]] = {
    **{name: getattr(torch, name) for name in (
        "neg", "abs", "floor", "relu", "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "reciprocal", "sin", "cos",
        "sigmoid", "tanh", "add", "sub", "mul", "div", "maximum", "minimum", "lt", "le", "eq", "ne")},
    "copy": torch.clone,
    "sign": torch.sgn,
    "softplus": lambda x: functional.softplus(x, threshold=1e9),
    "erf": torch.erf,
    "sigmoid_grad": of_sigmoid,
    "tanh_grad": of_tanh,
    "relu_grad": lambda gradient, y: torch.where(y <= 0, torch.zeros_like(gradient), gradient),
    "where": lambda condition, a, b: torch.where(condition != 0, a, b),
    "fma": torch.Tensor.mul,
}  # fmt: skip
TORCH["fma"] = lambda a, b, c: a * b + c


def one(kind: str, *operands: str | float, attributes: tuple[int, ...] = (), sources: dict[str, Array]) -> Array:
    """The value of a program of one operation."""
    declared = tuple(
        Source(name, "matrix", value.shape) if name == "matrix" else Source(name, "row", value.shape[1:])
        for name, value in sources.items()
    )
    made = Program(declared, (Operation("v", kind, operands, attributes),), (("out", "v"),))
    return interpret(made, sources)["out"]


def special_rows(count: int) -> list[Array]:
    """Random numbers, and every combination of special ones, as the columns of one row."""
    random = np.random.default_rng(count).standard_normal((count, 50)) * 3
    grids = np.meshgrid(*[SPECIAL] * count)
    return [np.concatenate([random[i], grids[i].ravel()])[None] for i in range(count)]


def test_no_kind_is_left_out() -> None:
    assert set(TORCH) == set(POINTWISE)


@pytest.mark.parametrize("kind", list(POINTWISE))
def test_pointwise_kinds_mean_what_torch_means(kind: str) -> None:
    rows = special_rows(POINTWISE[kind].operands or 1)
    names = [f"x{i}" for i in range(len(rows))]
    found = one(kind, *names, sources=dict(zip(names, rows, strict=True)))
    expected = TORCH[kind](*(torch.from_numpy(row) for row in rows)).double().numpy()
    if kind == "sign":  # torch takes NaN for 0 there
        expected = np.where(np.isnan(rows[0]), np.nan, expected)
    if kind in ("sigmoid_grad", "tanh_grad"):  # infinite derivatives, which no sigmoid has, in another order
        finite = np.isfinite(rows[0]) & (np.abs(rows[1]) < 1e9)
        found, expected = found[finite], expected[finite]
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-320)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", list(POINTWISE))
def test_numbers_stand_for_columns(kind: str, dtype: type) -> None:
    count = POINTWISE[kind].operands or 1
    rows = [row.astype(dtype) for row in np.random.default_rng(0).random((count, 4, 3)) + 0.1]
    for position in range(count):
        operands = [0.5 if count > 1 and i == position else f"x{i}" for i in range(count)]
        sources = {f"x{i}": rows[i] for i in range(count) if operands[i] != 0.5}
        full = {f"x{i}": np.full((4, 3), 0.5, dtype) if operands[i] == 0.5 else rows[i] for i in range(count)}
        found = one(kind, *operands, sources=sources)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, one(kind, *full, sources=full))


def test_layout_kinds() -> None:
    random = np.random.default_rng(1)
    x, y, matrix = random.random((4, 3)), random.random((4, 2)), random.random((3, 5))
    np.testing.assert_allclose(one("matmul", "x", "matrix", sources={"x": x, "matrix": matrix}), x @ matrix, rtol=1e-14)
    both = np.concatenate([x, -2 * x], 1)
    for value in ("x", "both"):
        groups = both.shape[1] // matrix.shape[0] if value == "both" else 1
        found = one("matmul", value, "matrix", attributes=(groups,), sources={"x": x, "both": both, "matrix": matrix})
        np.testing.assert_allclose(found, np.concatenate([x @ matrix, -2 * x @ matrix], 1)[:, : 5 * groups], rtol=1e-14)
    for kind, meaning in {"sum": torch.sum, "max": torch.amax}.items():
        expected = meaning(torch.from_numpy(x), 1, keepdim=True).numpy()
        np.testing.assert_allclose(one(kind, "x", sources={"x": x}), expected, rtol=1e-14)
    np.testing.assert_array_equal(one("slice", "x", attributes=(1, 3), sources={"x": x}), x[:, 1:3])
    np.testing.assert_array_equal(one("concat", "x", "y", sources={"x": x, "y": y}), np.hstack([x, y]))
    column = y[:, :1].copy()
    np.testing.assert_array_equal(one("broadcast", "c", attributes=(4,), sources={"c": column}), np.tile(column, 4))
    np.testing.assert_allclose(one("dot", "x", "x", sources={"x": x}), (x * x).sum(1, keepdims=True), rtol=1e-14)
    assert set(REDUCTIONS) == {"sum", "max", "dot"}


def test_reductions_of_groups() -> None:
    random = np.random.default_rng(2)
    x, y = random.random((4, 24)), random.random((4, 24))
    apart = torch.from_numpy(x).view(4, 2, 4, 3), torch.from_numpy(x * y).view(4, 2, 4, 3)
    expected = {"sum": apart[0].sum(2), "max": apart[0].amax(2), "dot": apart[1].sum(2)}
    for kind, value in expected.items():
        operands = ("x", "y") if kind == "dot" else ("x",)
        found = one(kind, *operands, attributes=(4, 3), sources={"x": x, "y": y})
        np.testing.assert_allclose(found, value.reshape(4, 6).numpy(), rtol=1e-14)


def test_columns_by_strides() -> None:
    x = np.arange(24.0).reshape(2, 12)
    matrices = x.reshape(2, 3, 4)
    forms = {
        (0, 4, 1, 3, 4): matrices.transpose(0, 2, 1),
        (11, 12, -1): x[:, ::-1],
        (1, 3, 4, 5, 0): np.repeat(matrices[:, :, 1:2], 5, 2),
        (0, 2, 0, 3, 4, 2, 0, 2, 2): np.broadcast_to(matrices[:, None, :, None, ::2], (2, 2, 3, 2, 2)),
    }
    for form, expected in forms.items():
        found = one("take", "x", attributes=form, sources={"x": x})
        np.testing.assert_array_equal(found, expected.reshape(2, -1))


def test_a_maximum_with_nan_is_nan() -> None:
    for at in range(3):
        x = np.array([[1.0, 2.0, 3.0]])
        x[0, at] = np.nan
        assert np.isnan(one("max", "x", sources={"x": x})).all()


def test_vectors_are_the_same_in_every_row() -> None:
    program = Program(
        (Source("x", "row", (3,)), Source("b", "vector", (3,))),
        (Operation("v", "add", ("x", "b")),),
        (("sum", "v"), ("b", "b"), ("x", "x")),
    )
    x, b = np.arange(12.0).reshape(4, 3), np.array([10.0, 20.0, 30.0])
    found = interpret(program, {"x": x, "b": b})
    np.testing.assert_array_equal(found["sum"], x + b)
    np.testing.assert_array_equal(found["b"], np.tile(b, (4, 1)))
    np.testing.assert_array_equal(found["x"], x)


def test_sources_that_do_not_fit_are_refused() -> None:
    program = Program(
        (Source("x", "row", (3,)), Source("y", "row", (3,)), Source("b", "vector", (3,))),
        (Operation("v", "add", ("x", "y")),),
        (("out", "v"),),
    )
    good = {"x": np.ones((4, 3)), "y": np.ones((4, 3)), "b": np.ones(3)}
    assert interpret(program, good)["out"].shape == (4, 3)
    for change, message in [
        ({"y": np.ones((5, 3))}, r"\[4, 5\] rows"),
        ({"y": np.ones((4, 2))}, "source y"),
        ({"b": np.ones(4)}, "source b"),
        ({"b": np.ones((4, 3))}, "source b"),
    ]:
        with pytest.raises(ProgramError, match=message):
            interpret(program, good | change)
    with pytest.raises(ProgramError, match="source b: found nothing"):
        interpret(program, {"x": good["x"], "y": good["y"]})
