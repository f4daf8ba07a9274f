"""Under autocast the native engine calculates in float32: nothing of a call or its gradients is rounded."""

from __future__ import annotations

import pytest
import torch
from tests.conformance.cases import CASES, Case, make_problem
from tests.tolerances import EXACT, assert_same
from torch import Tensor

from echoic.cells import GRU, LSTM, Cell
from echoic.engine import unroll
from echoic.engine.call import Call
from echoic.engine.choice import fastest
from echoic.engine.native import Native
from echoic.engine.torch_fused import TorchFused


def everything(cell: Cell, inputs: Tensor, state: tuple[Tensor, ...], *, memory: str, short: bool) -> dict[str, Tensor]:
    """Outputs, last state and all gradients; the backward runs inside autocast as well."""
    inputs, *parts = (part.detach().requires_grad_() for part in (inputs, *state))
    wanted = [inputs, *parts, *(p for p in cell.parameters() if p.requires_grad)]
    with torch.autocast("cpu", torch.bfloat16, enabled=short):
        outputs, end = unroll(cell, inputs, type(cell.initial_state(1))(*parts), options=("native", memory))
        loss = sum(((part.sin() * part).sum() for part in (outputs, *end)), torch.zeros(()))
        gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
    found = {"outputs": outputs.detach()} | {f"end {i}": part.detach() for i, part in enumerate(end)}
    return found | {f"gradient {i}": g for i, g in enumerate(gradients) if g is not None}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_autocast_changes_nothing(case: Case) -> None:
    given = make_problem(case, 3, 11).to(torch.float32)
    full, short = (
        everything(given.cell, given.inputs, tuple(given.state), memory="store", short=short) for short in (False, True)
    )
    assert {name: value.dtype for name, value in short.items()} == dict.fromkeys(full, torch.float32)
    assert_same(short, full, EXACT)


@pytest.mark.parametrize("memory", ["recompute", "checkpoint"])
def test_nor_where_steps_are_run_again(memory: str) -> None:
    torch.manual_seed(1)
    cell, inputs = LSTM(3, 5), torch.randn(2, 40, 3)
    state = tuple(torch.randn(2, 5) for _ in range(2))
    full, short = (everything(cell, inputs, state, memory=memory, short=short) for short in (False, True))
    assert_same(short, full, EXACT)


def test_gradients_of_gradients() -> None:
    torch.manual_seed(2)
    cell = GRU(3, 5)
    inputs = torch.randn(2, 6, 3, requires_grad=True)
    found = []
    for short in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=short):
            outputs, _ = unroll(cell, inputs, options=("native", "store"))
            (gradient,) = torch.autograd.grad(outputs.square().sum(), inputs, create_graph=True)
        second = torch.autograd.grad(gradient.square().sum(), list(cell.parameters()))
        found.append({str(i): part for i, part in enumerate(second)})
    assert_same(found[1], found[0], EXACT)


def test_inputs_that_autocast_made_shorter() -> None:
    torch.manual_seed(3)
    cell, below = LSTM(4, 5), torch.nn.Linear(3, 4)
    inputs = torch.randn(2, 6, 3)
    with torch.autocast("cpu", torch.bfloat16):
        made = below(inputs)
        outputs, end = unroll(cell, made, options=("native", "store"))
        again, _ = unroll(cell, made, type(end)(*(part.bfloat16() for part in end)), options=("native", "store"))
    assert made.dtype == torch.bfloat16
    assert outputs.dtype == again.dtype == torch.float32
    expected, last = unroll(cell, made.float(), options=("native", "store"))
    assert torch.equal(outputs, expected)
    assert torch.equal(end.hidden, last.hidden)
    outputs.sum().backward()
    assert below.weight.grad is not None


def test_compiled() -> None:
    torch.manual_seed(4)
    cell, inputs = LSTM(3, 5), torch.randn(2, 6, 3)

    def run(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return unroll(cell, x, options=("native", "store"))[0]

    found = torch.compile(run, fullgraph=True, backend="aot_eager")(inputs)
    assert torch.equal(found, run(inputs))


@pytest.mark.parametrize(
    ("has", "options", "kind"),
    [
        (True, {}, TorchFused),
        (False, {}, Native),
        (True, {"peephole": True}, Native),
        (True, {"projection_size": 2}, Native),
    ],
)
def test_a_kernel_in_autocasts_type_goes_first(
    monkeypatch: pytest.MonkeyPatch, has: bool, options: dict, kind: type
) -> None:
    monkeypatch.setattr("echoic.engine.torch_fused._has_shorter", lambda: has)
    cell = LSTM(3, 5, **options)
    start = cell.initial_state(2)
    call = Call(torch.randn(6, 2, 3), start, start)
    assert isinstance(fastest(cell, call)[0], Native)
    with torch.autocast("cpu", torch.bfloat16):
        assert isinstance(fastest(cell, call)[0], kind)
