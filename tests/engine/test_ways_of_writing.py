"""However a step is written, the native engine gives what the reference gives, or says in a sentence why it cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from tests.tolerances import TOLERANCES, assert_same
from torch import Tensor, nn
from torch.nn import functional

from echoic.cells import Cell
from echoic.engine import unroll
from echoic.errors import BackendError

INPUTS, H = 3, 5


class State(NamedTuple):
    """Two fields, so that one may feed the other."""

    hidden: Tensor
    cell: Tensor


Update = Callable[[Any, Tensor, Tensor, Tensor], Any]


class Way(NamedTuple):
    """A way of writing a step.

    update: of the cell, the projected input p, h and c what becomes of h; or of both.
    shapes: of the parameters. projects: whether the input is projected ahead, by ``w``.
    refusal: part of the sentence by which the engine refuses it.
    """

    update: Update
    shapes: dict[str, tuple[int, ...]]
    projects: bool = True
    refusal: str = ""


def way(update: Update, projects: bool = True, refusal: str = "", **shapes: tuple[int, ...]) -> Way:
    return Way(update, {"w": (INPUTS, H), **shapes}, projects, refusal)


def gated(sums: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    i, f = sums.chunk(2, dim=1)
    return torch.sigmoid(i) * torch.tanh(c), torch.sigmoid(f) * c + 0.1 * i


SQUARE = (H, H)
WAYS = {
    "h @ u": way(lambda s, p, h, c: p + h @ s.u, u=SQUARE),
    "linear": way(lambda s, p, h, c: p + functional.linear(h, s.u), u=SQUARE),
    "matmul of a transpose": way(lambda s, p, h, c: p + torch.matmul(h, s.u.t()), u=SQUARE),
    "addmm": way(lambda s, p, h, c: p + torch.addmm(s.b, h, s.u), u=SQUARE, b=(H,)),
    "cat of x and h": way(lambda s, p, h, c: torch.cat([p, h], 1) @ s.u, projects=False, u=(INPUTS + H, H)),
    "linear of cat": way(lambda s, p, h, c: functional.linear(torch.cat([p, h], 1), s.u), False, u=(H, INPUTS + H)),
    "cat of h and c": way(lambda s, p, h, c: p + torch.cat([h, c], 1) @ s.u, u=(2 * H, H)),
    "masked": way(lambda s, p, h, c: p + h @ (s.u * (s.v > 0)), u=SQUARE, v=SQUARE),
    "two products": way(lambda s, p, h, c: p + h @ s.u + c @ s.v, u=SQUARE, v=SQUARE),
    "columns of a matrix": way(lambda s, p, h, c: p + h @ s.u[:, 2:7], u=(H, 9)),
    "rows of a matrix": way(lambda s, p, h, c: p + h @ s.u[1:6], u=(9, H)),
    "part of h": way(lambda s, p, h, c: p + h[:, 1:4] @ s.u, u=(3, H)),
    "linear of a part": way(lambda s, p, h, c: p + functional.linear(h[:, 1:4], s.u), u=(H, 3)),
    "a number": way(lambda s, p, h, c: p + h * s.a, a=()),
    "a row of biases": way(lambda s, p, h, c: p + h @ s.u + s.b, u=SQUARE, b=(1, H)),
    "one matrix twice": way(lambda s, p, h, c: p + h @ s.u + torch.tanh(c @ s.u), u=SQUARE),
    "one after the other": way(lambda s, p, h, c: p + h @ s.u @ s.v, u=(H, 2), v=(2, H)),
    "and its transpose": way(lambda s, p, h, c: p + (h @ s.u) @ s.u.t(), u=(H, 4)),
    "softmax": way(lambda s, p, h, c: p + torch.softmax(h @ s.u, 1), u=SQUARE),
    "less its mean": way(lambda s, p, h, c: p + h - h.mean(1, keepdim=True) + h @ s.u, u=SQUARE),
    "gates": way(lambda s, p, h, c: gated(p @ s.v + h @ s.u, c), False, u=(H, 2 * H), v=(INPUTS, 2 * H)),
    "x twice": way(
        lambda s, p, h, c: torch.tanh(p @ s.w) * torch.sigmoid(h @ s.u) + p @ s.v, False, u=SQUARE, v=(INPUTS, H)
    ),
    "a normed matrix": way(lambda s, p, h, c: p + functional.linear(h, s.u / s.u.norm(dim=1, keepdim=True)), u=SQUARE),
    "a skew matrix": way(lambda s, p, h, c: p + h @ (s.u - s.u.t()), u=SQUARE),
    "each from the other": way(lambda s, p, h, c: (torch.tanh(p + c @ s.u), h @ s.v), u=SQUARE, v=SQUARE),
    "exchanged": way(lambda s, p, h, c: (c, torch.tanh(h + p))),
    "product of products": way(lambda s, p, h, c: (h @ s.u) * (c @ s.v) + p, u=SQUARE, v=SQUARE),
    "a gate for a row": way(lambda s, p, h, c: p + h * torch.sigmoid((h * s.b).sum(1, keepdim=True)), b=(H,)),
    "layer norm": way(lambda s, p, h, c: p + functional.layer_norm(h @ s.u, (H,)), u=SQUARE),
    "where": way(lambda s, p, h, c: torch.where(p > 0, h @ s.u, p), u=SQUARE),
    "less its maximum": way(lambda s, p, h, c: p - (h @ s.u).amax(1, keepdim=True) * h, u=SQUARE),
    "einsum": way(lambda s, p, h, c: p + torch.einsum("bh,ho->bo", h, s.u), refusal="programs keep", u=SQUARE),
    "matrix first": way(lambda s, p, h, c: p + (s.u @ h.t()).t(), refusal="no row and no vector", u=SQUARE),
    "a vector's product": way(lambda s, p, h, c: p + (h @ s.b).unsqueeze(1), refusal="transposed batch", b=(H,)),
}


class Written(Cell):
    """A cell whose update is written in some way."""

    def __init__(self, how: Way) -> None:
        super().__init__(INPUTS, H)
        self.how = how.update
        self.projects = how.projects
        for name, shape in how.shapes.items():
            setattr(self, name, nn.Parameter(0.5 * torch.randn(shape)))

    def initial_state(self, batch_size: int) -> State:
        return State(self.zeros(batch_size, H), self.zeros(batch_size, H))

    def project(self, inputs: Tensor) -> Tensor:
        return inputs @ self.w if self.projects else inputs

    def update(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        made = self.how(self, projected, *state)
        hidden, cell = made if isinstance(made, tuple) else (torch.tanh(made), 0.9 * state.cell + 0.1 * state.hidden)
        return hidden, State(hidden, cell)


def trained(cell: Cell, inputs: Tensor, options: tuple[str, str]) -> dict[str, Tensor]:
    """Outputs, last state and gradients of a call."""
    start = State(torch.linspace(-1, 1, 2 * H).view(2, H).double(), torch.linspace(1, -2, 2 * H).view(2, H).double())
    outputs, end = unroll(cell, inputs, start, options=options)
    parts = {"outputs": outputs, "hidden": end.hidden, "cell": end.cell}
    wanted = {"inputs": inputs, **dict(cell.named_parameters())}
    loss = sum((part * torch.arange(1, H + 1)).sin().sum() for part in parts.values())
    gradients = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)  # type: ignore[arg-type]
    return {**{name: part.detach() for name, part in parts.items()},
            **{f"of {name}": g for name, g in zip(wanted, gradients, strict=True) if g is not None}}  # fmt: skip


@pytest.mark.parametrize("memory", ["store", "recompute", "checkpoint"])
@pytest.mark.parametrize("how", WAYS.values(), ids=WAYS)
def test_however_a_step_is_written(how: Way, memory: str) -> None:
    torch.manual_seed(0)
    cell = Written(how).double()
    inputs = torch.randn(2, 17, INPUTS, dtype=torch.float64, requires_grad=True)
    if how.refusal:
        with pytest.raises(BackendError, match=how.refusal):
            trained(cell, inputs, ("native", memory))
        return
    expected = trained(cell, inputs, ("reference", "store"))
    assert_same(trained(cell, inputs, ("native", memory)), expected, TOLERANCES[torch.float64])
