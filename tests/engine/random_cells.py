"""Random cells, whose steps are written as users write them: any kind of operation, in any order, of odd widths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from echoic.cells import Cell

INPUTS, OUTPUTS = 3, 5
Shapes = list[tuple[int, ...]]


class Kind(NamedTuple):
    """What may stand in a step.

    meaning: of values [B, W], then parameters, to a value.
    parameters: their shapes, for the width of the first value and one that was drawn.
    width: of the result, likewise; the first value's if None.
    values: how many. The second has the width of the first, or a single column.
    """

    meaning: Callable[..., Tensor]
    parameters: Callable[[int, int], Shapes] = lambda wide, drawn: []
    width: Callable[[int, int], int] | None = None
    values: int = 1


def _drawn(wide: int, drawn: int) -> int:
    return drawn


def _one(wide: int, drawn: int) -> int:
    return 1


def _pair(x: Tensor) -> Tensor:
    """[B, 2, W]"""
    return torch.stack([x, torch.sin(x)], 1)


def _two(x: Tensor, y: Tensor) -> Tensor:
    """[B, W, 2]"""
    return torch.stack([x, y.expand_as(x)], 2)


def _matrix(x: Tensor, y: Tensor) -> Tensor:
    """[B, W, W]"""
    return torch.sin(x).unsqueeze(2) * y.expand_as(x).unsqueeze(1)


KINDS: dict[str, Kind] = {
    "matmul": Kind(lambda x, w: x @ w, lambda n, m: [(n, m)], _drawn),
    "matmul, bias": Kind(lambda x, w, b: x @ w + b, lambda n, m: [(n, m), (1, m)], _drawn),
    "linear": Kind(functional.linear, lambda n, m: [(m, n)], _drawn),
    "linear, bias": Kind(functional.linear, lambda n, m: [(m, n), (m,)], _drawn),
    "add": Kind(lambda x, y: x + y, values=2),
    "sub": Kind(lambda x, y: x - y, values=2),
    "mul": Kind(lambda x, y: x * torch.tanh(y), values=2),
    "maximum": Kind(torch.maximum, values=2),
    "where": Kind(lambda x, y: torch.where(x > 0, x, y), values=2),
    "tanh": Kind(torch.tanh),
    "sigmoid": Kind(torch.sigmoid),
    "relu": Kind(torch.relu),
    "exp": Kind(lambda x: torch.exp(-x.square())),
    "softplus": Kind(functional.softplus),
    "sin": Kind(torch.sin),
    "abs": Kind(torch.abs),
    "silu": Kind(functional.silu),
    "gelu": Kind(functional.gelu),
    "mean": Kind(lambda x: x.mean(1, keepdim=True), width=_one),
    "sum": Kind(lambda x: x.sum(1, keepdim=True), width=_one),
    "largest": Kind(lambda x: x.amax(1, keepdim=True), width=_one),
    "centred": Kind(lambda x: x - x.mean(1, keepdim=True)),
    "softmax": Kind(lambda x: torch.softmax(x, 1)),
    "layer norm": Kind(lambda x, w, b: functional.layer_norm(x, w.shape, w, b), lambda n, m: [(n,), (n,)]),
    "scaled": Kind(lambda x, a: x * a, lambda n, m: [()]),
    "weighed": Kind(lambda x, w: x * w, lambda n, m: [(n,)]),
    "moved": Kind(lambda x, b: x + b, lambda n, m: [(n,)]),
    "masked": Kind(lambda x, w: torch.where(w > 0, x, -x), lambda n, m: [(n,)]),
    "expanded": Kind(lambda x, w: torch.cat([x, w.expand_as(x)], 1), lambda n, m: [(n,)], lambda n, m: 2 * n),
    "einsum": Kind(lambda x, w: torch.einsum("bi,ij->bj", x, w), lambda n, m: [(n, m)], _drawn),
    "from the left": Kind(lambda x, w: (w @ x.t()).t(), lambda n, m: [(m, n)], _drawn),
    "by a vector": Kind(lambda x, w: (x @ w).unsqueeze(1), lambda n, m: [(n,)], _one),
    "one matrix for two": Kind(lambda x, w: (_pair(x) @ w).sum(1), lambda n, m: [(n, m)], _drawn),
    "a matrix for each": Kind(
        lambda x, w: torch.einsum("bgd,gde->bge", _pair(x), w).flatten(1), lambda n, m: [(2, n, m)], lambda n, m: 2 * m
    ),
    "a matrix for both": Kind(
        lambda x, w: torch.bmm(_pair(x).transpose(0, 1), w).sum(0), lambda n, m: [(2, n, m)], _drawn
    ),
    "by an adjacency": Kind(lambda x, w: (w @ _pair(x)).flatten(1), lambda n, m: [(3, 2)], lambda n, m: 3 * n),
    "on either side": Kind(lambda x, w, v: torch.tanh(_pair(x) @ w).mT @ v[0], lambda n, m: [(n, m), (1, 2)], _drawn),
    "matrices by one": Kind(
        lambda x, y, w: torch.tanh(w @ _matrix(x, y) @ w.t()).sum(2), lambda n, m: [(m, n)], _drawn, values=2
    ),
    "one adjacency for all": Kind(
        lambda x, w: torch.einsum("ij,bjd->bid", w, _pair(x).mT).sin().flatten(1),
        lambda n, m: [(m, n)],
        lambda n, m: 2 * m,
    ),
    "convolution": Kind(lambda x, w: functional.conv1d(_pair(x), w, padding=1).sum(1), lambda n, m: [(3, 2, 3)]),
    "map": Kind(
        lambda x, y, w, b: functional.conv2d(_matrix(x, y).unsqueeze(1), w, b, padding=(0, 1)).sin().sum((1, 3)),
        lambda n, m: [(2, 1, 1, 3), (2,)],
        values=2,
    ),
    "norm of each": Kind(
        lambda x, w: functional.layer_norm(_pair(x), w.shape, w).flatten(1), lambda n, m: [(n,)], lambda n, m: 2 * n
    ),
    "softmax of two": Kind(lambda x, y: torch.softmax(_two(x, y), 2)[:, :, 0], values=2),
    "softmax over two": Kind(lambda x, y: torch.softmax(_two(x, y), 1)[..., 1], values=2),
    "mean of two": Kind(lambda x, y: _two(x, y).mean(2), values=2),
    "interleaved": Kind(lambda x: _two(x, -x).flatten(1), width=lambda n, m: 2 * n),
    "every pair": Kind(lambda x, y: torch.tanh(x.unsqueeze(2) * y.unsqueeze(1)).sum(2), values=2),
    "delta rule": Kind(lambda x, y: torch.tanh(_matrix(x, y) @ torch.sigmoid(x).unsqueeze(2)).squeeze(2), values=2),
    "turned matrix": Kind(lambda x, y: torch.tanh(_matrix(x, y).mT @ torch.sin(x).unsqueeze(2)).squeeze(2), values=2),
    "matrices": Kind(lambda x, y: torch.tanh(_matrix(x, y) @ _matrix(x, torch.cos(y)).mT / 9).sum(2), values=2),
    "running sums": Kind(lambda x: torch.cumsum(torch.softmax(x, 1), 1)),
    "running sums of two": Kind(lambda x, y: _two(x, y).cumsum(1)[..., 1] / x.shape[1], values=2),
    "each so often": Kind(lambda x: x.repeat_interleave(3, 1), width=lambda n, m: 3 * n),
    "maximum of two": Kind(lambda x, y: _two(x, y).max(2).values, values=2),
    "the best alone": Kind(lambda x: x * functional.one_hot(x.argmax(1), x.shape[1])),
    "turned round": Kind(lambda x: x.flip(1)),
    "rolled": Kind(lambda x: x.roll(1, 1)),
    "doubled": Kind(lambda x: torch.cat([x, -x], 1), width=lambda n, m: 2 * n),
    "first half": Kind(lambda x: x[:, : (x.shape[1] + 1) // 2], width=lambda n, m: (n + 1) // 2),
    "last half": Kind(lambda x: x[:, x.shape[1] // 2 :], width=lambda n, m: n - n // 2),
}


class Operation(NamedTuple):
    """One line of a step: what is made of which values and parameters."""

    made: str
    kind: str
    values: tuple[str, ...]
    parameters: tuple[str, ...]


class Recipe(NamedTuple):
    """A whole cell.

    widths: of the input and of the state's fields. ends: what becomes the output and these.
    """

    widths: tuple[int, int, int]
    operations: tuple[Operation, ...]
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    ends: tuple[str, str, str]


class State(NamedTuple):
    """Two fields."""

    first: Tensor
    second: Tensor


@st.composite
def recipes(draw: Any) -> Recipe:
    """A cell of at most ten operations, and the products that make its results of them."""
    sizes = st.sampled_from((1, 2, 5, 7))
    first, second = draw(sizes), draw(sizes)
    values = {"x": INPUTS, "first": first, "second": second}
    operations: list[Operation] = []
    shapes: list[tuple[str, tuple[int, ...]]] = []

    def make(kind: str, size: int) -> str:
        of, name = KINDS[kind], f"v{len(operations)}"
        used = [draw(st.sampled_from(list(values)))]
        wide = values[used[0]]
        if of.values == 2:
            used.append(draw(st.sampled_from([value for value, width in values.items() if width in (1, wide)])))
        names = []
        for shape in of.parameters(wide, size):
            shapes.append((f"p{len(shapes)}", shape))
            names.append(shapes[-1][0])
        operations.append(Operation(name, kind, tuple(used), tuple(names)))
        values[name] = wide if of.width is None else of.width(wide, size)
        return name

    for _ in range(draw(st.integers(2, 10))):
        make(draw(st.sampled_from(list(KINDS))), draw(sizes))
    products = st.sampled_from([kind for kind, of in KINDS.items() if of.width is _drawn])
    ends = tuple(make(draw(products), size) for size in (OUTPUTS, first, second))
    return Recipe((INPUTS, first, second), tuple(operations), tuple(shapes), ends)


class RandomCell(Cell):
    """A cell made by a recipe."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(INPUTS, OUTPUTS)
        self.recipe = recipe
        for name, shape in recipe.shapes:
            setattr(self, name, nn.Parameter(0.5 * torch.randn(shape)))

    def initial_state(self, batch_size: int) -> State:
        return State(*(self.zeros(batch_size, width) for width in self.recipe.widths[1:]))

    def project(self, inputs: Tensor) -> Tensor:
        return inputs

    def update(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        values = {"x": projected, "first": state.first, "second": state.second}
        for made, kind, used, parameters in self.recipe.operations:
            given = [values[name] for name in used] + [getattr(self, name) for name in parameters]
            values[made] = KINDS[kind].meaning(*given)
        output, *ends = (torch.tanh(values[name]) for name in self.recipe.ends)
        return output, State(*ends)
