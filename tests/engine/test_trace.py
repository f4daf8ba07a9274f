"""Every cell as programs: they say what its equations say, and what no program can say is refused."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from tests.conformance.cases import CASES, Case
from tests.engine.traced import BATCH, Traced, by_torch, trace
from torch import Tensor

from echoic.cells import GRU, LSTM, Cell
from echoic.engine.trace import Outer, TraceRefusal, record
from echoic.program import Program, from_json, to_json

CLOSE = {"rtol": 1e-9, "atol": 1e-11}


@pytest.fixture(scope="module", params=CASES, ids=str)
def traced(request: pytest.FixtureRequest) -> Traced:
    case: Case = request.param
    return trace(case.build())


def close(found: np.ndarray, expected: Tensor, name: str) -> None:
    np.testing.assert_allclose(found, expected.detach().numpy(), **CLOSE, err_msg=name)


@pytest.mark.parametrize("which", ["inference", "forward"])
def test_the_forward_program_is_the_update(traced: Traced, which: str) -> None:
    found = traced.run(getattr(traced.programs, which))
    for name, expected in by_torch(traced).forward.items():
        close(found[name], expected, name)
    assert {n: v.shape[1] for n, v in found.items() if n.startswith("saved")} == (
        traced.programs.saved if which == "forward" else {}
    )


@pytest.mark.parametrize("which", ["backward", "recompute"])
def test_the_backward_program_is_the_gradient(traced: Traced, which: str) -> None:
    """From what the forward saved and the states alone, or from the inputs once more."""
    forward, expected = traced.run(traced.programs.forward), by_torch(traced)
    more = {n.replace("state.", "new."): v for n, v in forward.items() if n.startswith("state.")}
    more |= {n: v for n, v in forward.items() if n.startswith("saved.")}
    found = traced.run(getattr(traced.programs, which), more if which == "backward" else None)
    for name, gradient in expected.backward.items():
        close(found[name], gradient, name)
    gradients = traced.gradients(found)
    for name, gradient in expected.parameters.items():
        if name in gradients:
            assert gradients[name].shape == gradient.shape
            close(gradients[name].numpy(), gradient, name)
        else:  # what has no gradient from the step
            assert not gradient.any(), name


def test_sources_are_what_their_program_may_read(traced: Traced) -> None:
    fields = traced.recording.fields
    derived = set(traced.recording.derived)
    states, news = {f"state.{f}" for f in fields}, {f"new.{f}" for f in fields}
    pulls = {"grad.output", *(f"grad.state.{f}" for f in fields)}
    programs = traced.programs
    reads = {name: {s.name for s in getattr(programs, name).sources} for name in programs._fields[:4]}
    assert reads["inference"] <= {"input"} | states | derived
    assert reads["forward"] <= {"input"} | states | derived
    assert reads["backward"] <= {"input"} | states | news | pulls | derived | set(programs.saved)
    assert reads["recompute"] <= {"input"} | states | pulls | derived


def test_nothing_is_done_twice_or_for_nobody(traced: Traced) -> None:
    for program in traced.programs[:4]:
        assert isinstance(program, Program)
        done = Counter((o.kind, o.operands, o.attributes) for o in program.operations)
        assert [operation for operation, count in done.items() if count > 1] == []
        used = {o for operation in program.operations for o in operation.operands} | {v for _, v in program.results}
        assert {o.name for o in program.operations} <= used
        assert {s.name for s in program.sources} <= used


def test_programs_can_be_written_down(traced: Traced) -> None:
    for program in traced.programs[:4]:
        assert isinstance(program, Program)
        assert from_json(to_json(program)) == program


def kinds(program: Program) -> Counter[str]:
    return Counter(operation.kind for operation in program.operations)


def test_an_lstm_multiplies_twice_forward_and_twice_backward() -> None:
    """Input and state."""
    traced = trace(LSTM(3, 7).double())
    assert traced.recording.apart is None
    assert kinds(traced.programs.inference)["matmul"] == 2
    assert kinds(traced.programs.backward)["matmul"] == 2
    assert kinds(traced.programs.recompute)["matmul"] == 4
    assert kinds(traced.programs.inference)["sigmoid"] == 3
    outer = [d for d in traced.recording.deferred if isinstance(d, Outer)]
    assert len(outer) == 2  # one product for all four gates
    widths = traced.recording.builder.widths
    assert {(widths[each.left], widths[each.right]) for each in outer} == {(28, 7), (28, 3)}


def test_two_biases_that_are_added_have_one_sum() -> None:
    class TwoBiases(LSTM):
        """bias_ih too in the step."""

        def project(self, inputs: Tensor) -> Tensor:
            return inputs @ self.weight_ih.t()

        def recurrent(self, hidden: Tensor) -> Tensor:
            return super().recurrent(hidden) + self.bias_ih

    traced = trace(TwoBiases(3, 7).double())
    assert len(traced.recording.deferred) == 3
    expected = by_torch(traced).parameters
    found = traced.gradients(traced.run(traced.programs.recompute))
    for name in ("bias_ih", "bias_hh", "weight_hh"):
        close(found[name].numpy(), expected[name], name)


class Plain(NamedTuple):
    """hidden: [B, H]."""

    hidden: Tensor


class Odd(Cell):
    """A cell whose step is ``change(self, value)`` after a recurrent sum."""

    def __init__(self, change: Callable[[Odd, Tensor], Tensor]) -> None:
        super().__init__(3, 7)
        self.make_weights(1)
        self.change = change
        self.fixed = [torch.ones(7)]
        self.register_buffer("mask", torch.linspace(0, 1, 7))
        self.reset_parameters()

    def initial_state(self, batch_size: int) -> Plain:
        return Plain(self.zeros(batch_size, self.hidden_size))

    def update(self, projected: Tensor, state: Plain) -> tuple[Tensor, Plain]:
        hidden = self.change(self, projected + self.recurrent(state.hidden))
        return hidden, Plain(hidden)


def branches(cell: Odd, x: Tensor) -> Tensor:
    if x.sum() > 0:
        return torch.tanh(x)
    return x


def counts(cell: Odd, x: Tensor) -> Tensor:
    cell.steps = getattr(cell, "steps", 0) + 1
    return x * cell.steps


def keeps(cell: Odd, x: Tensor) -> Tensor:
    cell.seen = x  # pyright: ignore
    return x


def pairs(x: Tensor) -> Tensor:
    return x[:, :4].view(-1, 2, 2)


REFUSED: dict[str, tuple[Callable[[Odd, Tensor], Tensor], str]] = {
    "branch": (branches, "recorded"),
    "loop on a value": (lambda cell, x: x * x.max().item(), "recorded"),
    "to numpy": (lambda cell, x: x + torch.from_numpy(np.ones(7)) * x.detach().numpy().sum(), "recorded"),
    "error function": (lambda cell, x: torch.erfinv(torch.tanh(x)), "erfinv"),
    "sort": (lambda cell, x: x.sort(1).values, "sort"),
    "cumulative product": (lambda cell, x: x.cumprod(1), "cumprod"),
    "sums down the batch": (lambda cell, x: x.cumsum(0), "mixes the rows"),
    "largest of all": (lambda cell, x: x * x.argmax(), "whole batch"),
    "a part by number": (
        lambda cell, x: x * pairs(x).gather(2, pairs(x)[:, :1].long()).sum((1, 2))[:, None],
        "a part of",
    ),
    "multiplied by number": (
        lambda cell, x: x + x.detach().scatter(1, x[:, :1].long(), x.detach()[:, :1], reduce="multiply"),
        "only write",
    ),
    "several by number": (lambda cell, x: x.scatter(1, (x[:, :2] > 0).long(), 1.0), "several features"),
    "dropout": (lambda cell, x: torch.dropout(x, 0.5, True), "recorded|random|bernoulli|rand|dropout"),
    "a count of steps": (counts, "changes the cell's steps"),
    "a value kept": (keeps, "changes the cell's seen"),
    "noise": (lambda cell, x: x + torch.randn_like(x), "rand"),
    "noise for all rows": (lambda cell, x: x + torch.randn(7), "rand"),
    "many pieces": (
        lambda cell, x: torch.nn.functional.pad(x.repeat(1, 50).unsqueeze(2), (0, 1)).flatten(1)[:, :7],
        "700 pieces",
    ),
    "products of values": (lambda cell, x: x @ x.t() @ x, "programs multiply them by parameters"),
    "rows and features": (lambda cell, x: x.t().reshape(-1, 7), "mixes"),
    "mean of the batch": (lambda cell, x: x - x.mean(0), "reduces|batch|rank"),
    "rows exchanged": (lambda cell, x: x.flip(0), "mixes"),
    "neighbours": (lambda cell, x: x + x.roll(1, 0), "mixes"),
    "some rows": (lambda cell, x: torch.cat([x[1:], x[:1]]), "rows|batch"),
    "every second row": (lambda cell, x: torch.cat([x[::2], x[1::2]], 0), "rows"),
    "tensor constant": (lambda cell, x: x * torch.arange(7.0), "no parameter|recorded"),
    "tensor attribute": (lambda cell, x: x * cell.fixed[0], "no parameter|recorded"),
    "odd power": (lambda cell, x: x.abs() ** 1.7, "power"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_program_can_say_is_refused(name: str) -> None:
    change, reason = REFUSED[name]
    with pytest.raises(TraceRefusal) as refusal:
        record(Odd(change))
    assert re.search(reason, str(refusal.value)), str(refusal.value)
    assert "\n" not in str(refusal.value)


def erf_inverse(cell: Odd, x: Tensor) -> Tensor:
    y = torch.tanh(x)
    return torch.erfinv(y)


@pytest.mark.parametrize(
    ("change", "line"), [(branches, "if x.sum() > 0:"), (erf_inverse, "return torch.erfinv(y)")], ids=["branch", "erf"]
)
def test_a_refusal_names_the_line(change: Callable[[Odd, Tensor], Tensor], line: str) -> None:
    """Where it happened, in the file of the cell."""
    text = Path(__file__).read_text(encoding="utf-8").splitlines()
    lines = [number for number, found in enumerate(text, 1) if found.strip() == line]
    with pytest.raises(TraceRefusal, match=rf"line {lines[0]}\b") as refusal:
        record(Odd(change))
    assert "test_trace" in str(refusal.value)


TAKEN: dict[str, Callable[[Odd, Tensor], Tensor]] = {
    "layer norm": lambda cell, x: torch.nn.functional.layer_norm(x, (7,), cell.mask, cell.mask),
    "softmax": lambda cell, x: torch.softmax(x, -1),
    "log softmax": lambda cell, x: x - x.logsumexp(1, keepdim=True),
    "norm": lambda cell, x: x / (x * x).sum(1, keepdim=True).sqrt(),
    "variance": lambda cell, x: (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, keepdim=True) + 1e-5),
    "gelu": lambda cell, x: torch.nn.functional.gelu(x, approximate="tanh"),
    "silu": lambda cell, x: torch.nn.functional.silu(x),
    "softplus": lambda cell, x: torch.nn.functional.softplus(x, 2.0, 3.0),
    "leaky": lambda cell, x: torch.nn.functional.leaky_relu(x, 0.1),
    "elu": lambda cell, x: torch.nn.functional.elu(x),
    "hard": lambda cell, x: torch.nn.functional.hardtanh(x) + torch.nn.functional.relu6(x),
    "where": lambda cell, x: torch.where((x > 0) & (x <= 0.7) | (x < -0.4), x.exp(), -x),
    "extremes": lambda cell, x: x.amax(1, keepdim=True) * x - x.amin(1, keepdim=True),
    "clamp": lambda cell, x: x.clamp(-0.3, 0.4) + x.clamp_min(0.1) + x.clamp(max=-0.1),
    "powers": lambda cell, x: (
        x**2 + x**3 + (x * x + 1) ** 0.5 + (x * x + 1) ** -1 + (x * x + 2) ** -0.5 + x.exp() ** -2.5 + x.exp() ** 1.5
    ),
    "buffer": lambda cell, x: x * cell.mask + (1 - cell.mask),
    "weights of weights": lambda cell, x: x @ torch.softmax(cell.weight_hh, 1) * torch.sigmoid(cell.bias_hh),
    "pieces": lambda cell, x: torch.cat([x[:, 2:5].sin(), x[:, :2] * x[:, 5:], x[:, -2:].cos()], 1),
    "in place": lambda cell, x: x.clone().mul_(2).add_(1),
    "values by each other": lambda cell, x: (x.unsqueeze(1) * x.unsqueeze(2)).sum(2),
    "batched products": lambda cell, x: torch.bmm(x.unsqueeze(1), x.unsqueeze(2)).squeeze(2) * x,
    "every second feature": lambda cell, x: torch.cat([x[:, ::2], x[:, 1::2]], 1),
    "columns": lambda cell, x: x[:, :1] * x + x[:, 3].unsqueeze(1),
    "small": lambda cell, x: x.expm1() + x.abs().log1p(),
    "remainder": lambda cell, x: x % 0.7 + torch.floor(x * 3) * x,
    "constant": lambda cell, x: x * torch.full((7,), 0.5, device=x.device) + torch.ones_like(x),
    "detached": lambda cell, x: x * x.detach(),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TAKEN)
def test_ordinary_operations_are_taken(name: str) -> None:
    cell = Odd(TAKEN[name]).double()
    traced = trace(cell)
    expected = by_torch(traced)
    forward = traced.run(traced.programs.forward)
    more = {"new.hidden": forward["state.hidden"], **{n: v for n, v in forward.items() if n.startswith("saved.")}}
    close(forward["output"], expected.forward["output"], "output")
    found = traced.run(traced.programs.backward, more)
    for gradient in ("grad.input", "grad.state.hidden"):
        close(found[gradient], expected.backward[gradient], gradient)
    gradients = traced.gradients(found)
    for parameter in ("weight_hh", "bias_hh"):
        close(gradients[parameter].numpy(), expected.parameters[parameter], parameter)


def test_a_recording_leaves_the_cell_alone() -> None:
    cell = GRU(3, 7)
    before = {name: p.detach().clone() for name, p in cell.named_parameters()}
    record(cell)
    for name, parameter in cell.named_parameters():
        assert parameter.device.type == "cpu"
        assert parameter.grad is None
        assert torch.equal(parameter, before[name])
    assert BATCH > 1
