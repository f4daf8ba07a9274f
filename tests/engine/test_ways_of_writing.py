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
from echoic.engine.stepper import Stepper
from echoic.errors import BackendError

INPUTS, H, G, D = 3, 6, 2, 3  # units are G groups of D


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


def groups(values: Tensor) -> Tensor:
    return values.view(-1, G, D)


def of_two(gates: Tensor) -> Tensor:
    return torch.sigmoid(gates[:, 0]) * torch.tanh(gates[:, 1])


def written_over(values: Tensor, others: Tensor) -> Tensor:
    made = torch.zeros_like(values)
    made[:, :2] = others[:, :2]
    made[:, 3] = values[:, 1]
    return made


def scaled_in_place(values: Tensor) -> Tensor:
    made = values.clone()
    made[:, 2:4].mul_(2)
    return made


def gated(sums: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    i, f = sums.chunk(2, dim=1)
    return torch.sigmoid(i) * torch.tanh(c), torch.sigmoid(f) * c + 0.1 * i


def attended(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of G heads over D places with one feature each."""
    weights = torch.softmax(queries.view(-1, G, D, 1) @ keys.view(-1, G, 1, D), -1)
    return weights @ values.view(-1, G, D, 1)


def delta(memory: Tensor, values: Tensor, keys: Tensor, rate: Tensor) -> Tensor:
    """A memory [B, G, D] that is told what a key stands for."""
    found = (memory @ keys.unsqueeze(2)).squeeze(2)
    return memory + torch.sigmoid(rate)[:, :, None] * (values - found).unsqueeze(2) * keys.unsqueeze(1)


def which(largest: Any, smallest: Any) -> list[Tensor]:
    numbers = (largest.indices.to(largest.values.dtype) / D, smallest.indices.to(largest.values.dtype)[:, :1] / G)
    return [largest.values, smallest.values, numbers[0][:, :1] + numbers[1]]


def straight(shares: Tensor) -> Tensor:
    """The largest as one and the others as zeros, with the gradient of the shares."""
    hard = functional.one_hot(shares.argmax(1), H).to(shares.dtype)
    return hard - shares.detach() + shares


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
    "columns of a matrix": way(lambda s, p, h, c: p + h @ s.u[:, 2:8], u=(H, 9)),
    "rows of a matrix": way(lambda s, p, h, c: p + h @ s.u[1:7], u=(9, H)),
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
    "einsum": way(lambda s, p, h, c: p + torch.einsum("bh,ho->bo", h, s.u), u=SQUARE),
    "einsum of a transpose": way(lambda s, p, h, c: p + torch.einsum("bh,oh->bo", h, s.u), u=SQUARE),
    "matrix first": way(lambda s, p, h, c: p + (s.u @ h.t()).t(), u=SQUARE),
    "a vector's product": way(lambda s, p, h, c: p + (h @ s.b).unsqueeze(1), b=(H,)),
    "bilinear": way(lambda s, p, h, c: p + torch.einsum("bi,ij,bj->b", h, s.u, c).unsqueeze(1), u=SQUARE),
    "normalised": way(lambda s, p, h, c: p + functional.normalize(h, dim=1)),
    "by its norm": way(lambda s, p, h, c: p + h / (torch.linalg.vector_norm(h, dim=1, keepdim=True) + 1)),
    "rows by each other": way(lambda s, p, h, c: p + (h * c).sum(1)[:, None] * h),
    "by a matrix of the row": way(lambda s, p, h, c: p + (h.unsqueeze(2) @ c.unsqueeze(1) @ p.unsqueeze(2)).squeeze(2)),
    "a matrix of the row": way(lambda s, p, h, c: p + (h.unsqueeze(2) * c.unsqueeze(1) * s.u).sum(2), u=SQUARE),
    "repeated": way(lambda s, p, h, c: p + h[:, :3].repeat(1, 2)),
    "rolled": way(lambda s, p, h, c: p + h.roll(1, 1)),
    "turned round": way(lambda s, p, h, c: p + h.flip(1)),
    "every second": way(lambda s, p, h, c: p + torch.cat([h[:, ::2], h[:, 1::2]], 1)),
    "interleaved": way(lambda s, p, h, c: p + torch.stack([h[:, :3], c[:, :3]], 2).reshape(-1, H)),
    "a bias for all rows": way(lambda s, p, h, c: p + torch.cat([h[:, :5], s.b.expand(len(h), 1)], 1), b=(1,)),
    "a bias as large": way(lambda s, p, h, c: p + h * s.b.expand_as(h), b=(H,)),
    "where a parameter is": way(lambda s, p, h, c: torch.where(s.b > 0, h, p), b=(H,)),
    "but where one is": way(lambda s, p, h, c: torch.where(~(s.b > 0) & (h > 0), h, p), b=(H,)),
    "as many as are": way(lambda s, p, h, c: p + 0.1 * h * (s.b > 0).sum(), b=(H,)),
    "parts of quotients": way(
        lambda s, p, h, c: (
            p
            + 0.3 * torch.div(h, c.abs() + 1, rounding_mode="floor")
            + 0.1 * torch.div(p, c.abs() + 0.1, rounding_mode="trunc")
        )
    ),
    "whole numbers": way(lambda s, p, h, c: p + (5 * h).long() / 4 + (2 * c).int() // 2 / 2),
    "parts": way(lambda s, p, h, c: p + torch.trunc(2 * h) / 4 + torch.ceil(3 * c) / 8),
    "truths": way(lambda s, p, h, c: p + ((h > 0) + (c > 0)) * h + (2 * c).int().bool() * c),
    "how many": way(lambda s, p, h, c: p + (h > 0).sum(1, keepdim=True) * h / 4),
    "powers of numbers": way(lambda s, p, h, c: p + 2**h - torch.exp2(c)),
    "log softmax": way(lambda s, p, h, c: p + torch.log_softmax(h @ s.u, 1), u=SQUARE),
    "rms norm": way(lambda s, p, h, c: p + functional.rms_norm(h, (H,), s.g), g=(H,)),
    "numbers in a row": way(lambda s, p, h, c: p + h * torch.arange(H, dtype=h.dtype, device=h.device) / H),
    "numbers between": way(lambda s, p, h, c: p + h * torch.linspace(0, 1, H, dtype=h.dtype, device=h.device)),
    "and the unit matrix": way(lambda s, p, h, c: p + h @ (s.u + torch.eye(H, device=h.device)), u=SQUARE),
    "a triangle": way(lambda s, p, h, c: p + h @ torch.tril(s.u), u=SQUARE),
    "a diagonal": way(lambda s, p, h, c: p + h @ torch.diag(s.b) + c * torch.diagonal(s.u), b=(H,), u=SQUARE),
    "written over": way(lambda s, p, h, c: p + written_over(h, c)),
    "scaled in place": way(lambda s, p, h, c: p + scaled_in_place(h)),
    "shorter numbers": way(lambda s, p, h, c: p + h.half().to(h.dtype), refusal="rounds values to torch.float16"),
    "maxout": way(lambda s, p, h, c: p + (h @ s.u).view(-1, H, 2).amax(2), u=(H, 2 * H)),
    "minima": way(lambda s, p, h, c: p + groups(h).amin(2, keepdim=True).expand(-1, -1, D).reshape(-1, H)),
    "gates of a dimension": way(lambda s, p, h, c: p + of_two((h @ s.u).view(-1, 2, H)), u=(H, 2 * H)),
    "group norm": way(lambda s, p, h, c: p + functional.group_norm(h @ s.u, G, s.g, s.b), u=SQUARE, g=(H,), b=(H,)),
    "a matrix a group": way(
        lambda s, p, h, c: p + torch.einsum("bgd,gde->bge", groups(h), s.r).reshape(-1, H), r=(G, D, D)
    ),
    "turned ones": way(lambda s, p, h, c: p + torch.einsum("bgd,ged->bge", groups(h), s.r).reshape(-1, H), r=(G, D, D)),
    "by bmm": way(
        lambda s, p, h, c: p + torch.bmm(groups(h).transpose(0, 1), s.r).transpose(0, 1).reshape(-1, H), r=(G, D, D)
    ),
    "by bmm from the left": way(
        lambda s, p, h, c: p + torch.bmm(s.r, groups(h).permute(1, 2, 0)).permute(2, 0, 1).reshape(-1, H), r=(G, D, D)
    ),
    "one matrix for all groups": way(lambda s, p, h, c: p + (groups(h) @ s.r).reshape(-1, H), r=(D, D)),
    "linear of groups": way(
        lambda s, p, h, c: p + functional.linear(groups(h), s.r, s.b).reshape(-1, H), r=(D, D), b=(D,)
    ),
    "a matrix on either side": way(
        lambda s, p, h, c: p + ((groups(h) @ s.a).transpose(1, 2) @ s.b).transpose(1, 2).reshape(-1, H),
        a=(D, D),
        b=(G, G),
    ),
    "a matrix for all rows": way(lambda s, p, h, c: p + (s.a @ groups(h)).reshape(-1, H), a=(G, G)),
    "a turned one for all rows": way(
        lambda s, p, h, c: (
            p + torch.matmul(s.a.t(), groups(h)).flatten(1) + torch.einsum("ji,bjd->bid", s.b, groups(c)).flatten(1)
        ),
        a=(G, G),
        b=(G, G),
    ),
    "of several rows for all": way(
        lambda s, p, h, c: p + functional.linear((s.a @ groups(h)).view(-1, G, 2 * D), s.r).flatten(1),
        a=(2 * G, G),
        r=(D, 2 * D),
    ),
    "one for all, from the right": way(
        lambda s, p, h, c: p + torch.bmm(groups(h), s.r.unsqueeze(0).expand(len(h), D, D)).flatten(1), r=(D, D)
    ),
    "one for all, turned twice": way(
        lambda s, p, h, c: p + torch.bmm(s.r.expand(len(h), D, D).mT, groups(h).mT).mT.flatten(1), r=(1, D, D)
    ),
    "one for all matrices of a row": way(
        lambda s, p, h, c: p + (s.a @ torch.einsum("bgd,be->bged", groups(h), c[:, :D])).sum(3).flatten(1)[:, :H],
        a=(D, D),
    ),
    "gates of groups": way(
        lambda s, p, h, c: (
            p + torch.cat(functional.linear(groups(h), s.r).chunk(2, -1)[::-1], -1).sigmoid().view(-1, 2, H).sum(1)
        ),
        r=(2 * D, D),
    ),
    "norm of groups": way(
        lambda s, p, h, c: p + functional.layer_norm(groups(h), (D,), s.g, s.b).reshape(-1, H), g=(D,), b=(D,)
    ),
    "scale of groups": way(
        lambda s, p, h, c: p + (groups(h) * torch.sigmoid(h @ s.u)[:, :, None] * s.a[:, None]).reshape(-1, H),
        u=(H, G),
        a=(G,),
    ),
    "softmax of groups": way(lambda s, p, h, c: p + torch.softmax(groups(h), -1).reshape(-1, H)),
    "softmax over groups": way(lambda s, p, h, c: p + torch.softmax(groups(h), 1).reshape(-1, H)),
    "variance over groups": way(lambda s, p, h, c: p + groups(h).var(1).repeat(1, G)),
    "groups exchanged": way(lambda s, p, h, c: p + groups(h).transpose(1, 2).reshape(-1, H)),
    "groups one by one": way(
        lambda s, p, h, c: p + torch.cat([(i + 1) * part for i, part in enumerate(groups(h).unbind(1))], 1)
    ),
    "matmul of every group": way(lambda s, p, h, c: p + (h.view(-1, G, 1, D) @ s.r).reshape(-1, H), r=(G, D, D)),
    "gelu": way(lambda s, p, h, c: p + functional.gelu(h @ s.u) + torch.erf(c), u=SQUARE),
    "the larger": way(lambda s, p, h, c: p + torch.max(h, c) - torch.min(h, 2 * c)),
    "outer products": way(lambda s, p, h, c: p + torch.einsum("bi,bj->bij", h, c).sum(1) @ s.u, u=SQUARE),
    "a product of matrices": way(
        lambda s, p, h, c: p + (h.view(-1, G, D) @ c.view(-1, D, G) @ p.view(-1, G, D)).reshape(-1, H)
    ),
    "of groups of matrices": way(lambda s, p, h, c: p + attended(h, c, p).reshape(-1, H)),
    "turned matrices": way(
        lambda s, p, h, c: p + (h.view(-1, D, G).mT @ c.view(-1, G, D).mT @ p.view(-1, G, D)).flatten(1)
    ),
    "both turned": way(lambda s, p, h, c: p + (h.view(-1, G, D).mT @ c.view(-1, D, G).mT).sum(2).repeat(1, 2)),
    "einsum of two values": way(
        lambda s, p, h, c: p + torch.einsum("bgd,bge,be->bgd", groups(h), groups(c), p[:, :D]).reshape(-1, H)
    ),
    "delta rule": way(lambda s, p, h, c: p + delta(groups(c), h[:, :G], h[:, G : G + D], p[:, :1]).reshape(-1, H)),
    "each so often": way(lambda s, p, h, c: p + h[:, :D].repeat_interleave(G, 1) * c),
    "sums over both": way(lambda s, p, h, c: p + groups(h).sum((1, 2), keepdim=True).flatten(1) * c),
    "sums over the first and the last": way(
        lambda s, p, h, c: p + h.view(-1, 2, 3, 1).expand(-1, -1, -1, 4).amax((1, 3)).repeat(1, 2)
    ),
    "running sums": way(lambda s, p, h, c: p * (1 - torch.cumsum(torch.softmax(h @ s.u, 1), 1)), u=SQUARE),
    "running sums of groups": way(lambda s, p, h, c: p + groups(h).cumsum(2).reshape(-1, H)),
    "running sums over groups": way(lambda s, p, h, c: p + groups(h).cumsum(1).reshape(-1, H)),
    "largest and which": way(lambda s, p, h, c: p + torch.cat(which(groups(h).max(2), groups(c).min(1)), 1)),
    "largest of a row": way(lambda s, p, h, c: p + h.max(1, keepdim=True)[0] * c),
    "straight through": way(lambda s, p, h, c: p + straight(torch.softmax(h @ s.u, 1)) * c, u=SQUARE),
    "chosen by number": way(lambda s, p, h, c: p + h.gather(1, c.argmin(1, keepdim=True)) * s.b, b=(H,)),
    "chosen for each": way(
        lambda s, p, h, c: p + groups(h).gather(2, groups(c).argmax(2, keepdim=True).expand(-1, -1, D)).reshape(-1, H)
    ),
    "rows become features": way(lambda s, p, h, c: p + h.reshape(H, -1).t(), refusal="mixes the rows"),
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
    start = State(*(torch.linspace(*ends, 2 * H).view(2, H).to(inputs.dtype) for ends in ((-1, 1), (1, -2))))
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "how", [way for way in WAYS.values() if not way.refusal], ids=[n for n in WAYS if not WAYS[n].refusal]
)
def test_steps_one_by_one(how: Way, dtype: torch.dtype) -> None:
    torch.manual_seed(2)
    cell, inputs = Written(how).to(dtype), torch.randn(2, 5, INPUTS, dtype=dtype)
    with torch.no_grad():
        expected, _ = unroll(cell, inputs, options=("reference", "store"))
    stepper = Stepper(cell, batch=2)
    found = torch.stack([torch.from_numpy(stepper.step(x.numpy()).copy()) for x in inputs.unbind(1)], 1)
    assert_same({"outputs": found}, {"outputs": expected}, TOLERANCES[dtype])


class Masked(Cell):
    """A cell with buffers of truths and of whole numbers."""

    def __init__(self) -> None:
        super().__init__(INPUTS, H)
        self.w, self.u = nn.Parameter(0.5 * torch.randn(INPUTS, H)), nn.Parameter(0.5 * torch.randn(H, H))
        self.register_buffer("counts", torch.arange(H))
        self.register_buffer("mask", torch.arange(H) % 2 == 0)
        self.register_buffer("kept", torch.rand(H, H) > 0.5)

    def initial_state(self, batch_size: int) -> State:
        return State(self.zeros(batch_size, H), self.zeros(batch_size, H))

    def project(self, inputs: Tensor) -> Tensor:
        return inputs @ self.w

    def update(self, projected: Tensor, state: State) -> tuple[Tensor, State]:
        kept = state.hidden @ (self.u * self.kept)  # pyright: ignore
        hidden = torch.where(self.mask, torch.tanh(projected + kept), state.hidden * self.counts / H)  # pyright: ignore
        return hidden, State(hidden, torch.where(self.mask & (hidden > 0), hidden, state.cell))  # pyright: ignore


def test_buffers_of_other_types_and_cells_that_change_theirs() -> None:
    torch.manual_seed(1)
    cell, inputs = Masked(), torch.randn(2, 9, INPUTS)
    for dtype in (torch.float32, torch.float64, torch.float32):
        cell = cell.to(dtype)
        given = inputs.to(dtype).requires_grad_()
        expected = trained(cell, given, ("reference", "store"))
        assert_same(trained(cell, given, ("native", "store")), expected, TOLERANCES[dtype])


class Tied(Written):
    """One matrix by two names, in the cell and in a module of it."""

    def __init__(self) -> None:
        super().__init__(way(lambda s, p, h, c: p + h @ s.u + torch.tanh(c @ s.v) + s.inner(h), u=SQUARE))
        self.v, self.inner = self.u, nn.Linear(H, H)
        self.inner.weight = self.u


@pytest.mark.parametrize("memory", ["store", "recompute", "checkpoint"])
def test_parameters_with_two_names(memory: str) -> None:
    torch.manual_seed(3)
    cell, inputs = Tied().double(), torch.randn(2, 9, INPUTS, dtype=torch.float64, requires_grad=True)
    for _ in range(2):
        expected = trained(cell, inputs, ("reference", "store"))
        assert_same(trained(cell, inputs, ("native", memory)), expected, TOLERANCES[torch.float64])
        cell.v = nn.Parameter(torch.randn(H, H, dtype=torch.float64))  # no longer the same
