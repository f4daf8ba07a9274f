"""Autocast and the precision of matmuls: what is multiplied is rounded if the processor can, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from tests.conformance.cases import CASES, Case, Problem, make_problem
from tests.tolerances import EXACT, OF_PAIRS, TOLERANCES, assert_same
from torch import Tensor

from echoic import _native
from echoic.cells import GRU, LSTM, Cell, Elman
from echoic.engine import unroll
from echoic.engine.call import Call
from echoic.engine.choice import explain, fastest
from echoic.engine.native import Native
from echoic.engine.precision import BFLOAT16, PAIRS
from echoic.engine.torch_fused import TorchFused
from echoic.layers import Recurrent

Loss = Callable[[Tensor], Tensor]
SHORT = _native.has_bfloat16()
only_where_short = pytest.mark.skipif(not SHORT, reason="no AMX here: this processor does not multiply bfloat16")


@pytest.fixture
def full() -> Iterator[None]:
    """An instruction set without products of bfloat16, if the best has them."""
    if SHORT:
        _native.choose_instruction_set("avx512")
    assert not _native.has_bfloat16()
    yield
    _native.choose_instruction_set("")


@pytest.fixture
def precision() -> Iterator[Callable[[str], None]]:
    """Sets PyTorch's precision of matmuls until the end of a test."""
    yield torch.set_float32_matmul_precision
    torch.set_float32_matmul_precision("highest")


def _waves(part: Tensor) -> Tensor:
    return part.sin() * part


def _slopes(part: Tensor) -> Tensor:
    """What is rounded of large numbers changes no sign of its gradient."""
    return part.tanh() * part


def everything(
    cell: Cell, inputs: Tensor, state: tuple[Tensor, ...], *, memory: str, short: bool, of: Loss = _waves
) -> dict[str, Tensor]:
    """Outputs, last state and all gradients; the backward runs inside autocast as well."""
    inputs, *parts = (part.detach().requires_grad_() for part in (inputs, *state))
    wanted = [inputs, *parts, *(p for p in cell.parameters() if p.requires_grad)]
    with torch.autocast("cpu", torch.bfloat16, enabled=short):
        outputs, end = unroll(cell, inputs, type(cell.initial_state(1))(*parts), options=("native", memory))
        loss = sum((of(part).sum() for part in (outputs, *end)), torch.zeros(()))
        gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
    found = {"outputs": outputs.detach()} | {f"end {i}": part.detach() for i, part in enumerate(end)}
    return found | {f"gradient {i}": g for i, g in enumerate(gradients) if g is not None}


def without_and_with(given: Problem) -> list[dict[str, Tensor]]:
    """``everything`` without autocast and with it, which are float32 both."""
    state = tuple(given.state)
    full, short = (
        everything(given.cell, given.inputs, state, memory="store", short=s, of=_slopes) for s in (False, True)
    )
    assert {name: value.dtype for name, value in short.items()} == dict.fromkeys(full, torch.float32)
    return [full, short]


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_autocast_changes_nothing(case: Case) -> None:
    given = make_problem(case, 3, 11).to(torch.float32)
    full, short = without_and_with(given)
    assert_same(short, full, EXACT)


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("memory", ["recompute", "checkpoint"])
def test_nor_where_steps_are_run_again(memory: str) -> None:
    torch.manual_seed(1)
    cell, inputs = LSTM(3, 5), torch.randn(2, 40, 3)
    state = tuple(torch.randn(2, 5) for _ in range(2))
    full, short = (everything(cell, inputs, state, memory=memory, short=short) for short in (False, True))
    assert_same(short, full, EXACT)


@only_where_short
@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_multiplied_is_rounded(case: Case) -> None:
    given = make_problem(case, 3, 11).to(torch.float32)
    full, short = without_and_with(given)
    assert list(short) == list(full)
    for name, value in full.items():  # as a whole: a rectified unit may go the other way
        assert (short[name] - value).norm() <= TOLERANCES[torch.bfloat16].relative * value.norm(), name
    if "matmul" in explain("native", given.cell, Call(given.inputs, given.state, given.state)):
        assert any(not torch.equal(short[name], full[name]) for name in full)


@only_where_short
@pytest.mark.parametrize("memory", ["recompute", "checkpoint"])
@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_steps_that_are_run_again_are_rounded_again(kind: type[Cell], memory: str) -> None:
    torch.manual_seed(1)
    cell, inputs = kind(3, 50), torch.randn(33, 40, 3)
    state = tuple(torch.randn(33, 50) for _ in cell.initial_state(1))
    stored, again = (everything(cell, inputs, state, memory=m, short=True) for m in ("store", memory))
    assert torch.equal(again["outputs"], stored["outputs"])
    assert_same(again, stored, TOLERANCES[torch.float32])


@only_where_short
def test_both_directions_and_rows_of_unequal_lengths() -> None:
    torch.manual_seed(6)
    layer = Recurrent(LSTM(20, 40), bidirectional=True, backend="native")
    inputs, lengths = torch.randn(35, 9, 20), torch.randint(0, 10, (35,))
    full, _ = layer(inputs, lengths=lengths)
    with torch.autocast("cpu", torch.bfloat16):
        short, _ = layer(inputs, lengths=lengths)
    assert_same({"outputs": short}, {"outputs": full}, TOLERANCES[torch.bfloat16])
    assert not torch.equal(short, full)


@only_where_short
def test_what_is_said_of_rounding(precision: Callable[[str], None]) -> None:
    cell = LSTM(3, 5)
    call = Call(torch.randn(6, 2, 3), cell.initial_state(2), cell.initial_state(2))
    with torch.autocast("cpu", torch.bfloat16):
        assert explain("auto", cell, call).startswith("native: amx")
        assert "matmuls multiply bfloat16 numbers" in explain("auto", cell, call)
        assert "; 200 bytes of recurrent weights are read a step" in explain("auto", cell, call)
    precision("high")
    assert "matmuls multiply sums of two bfloat16 numbers" in explain("auto", cell, call)
    precision("highest")
    assert "bfloat16" not in explain("auto", cell, call)
    assert "multiply whole numbers of 24 bits" in explain("auto", cell, call)
    assert "; 400 bytes of recurrent weights are read a step" in explain("auto", cell, call)
    with torch.autocast("cpu", torch.float16):
        assert "in float32, whatever autocast asks for" in explain("native", cell, call)
    double = Call(call.inputs.double(), cell.double().initial_state(2), cell.initial_state(2))
    with torch.autocast("cpu", torch.bfloat16):
        assert "in float32, whatever autocast asks for" in explain("native", cell, double)
    assert "24 bits" not in explain("native", cell, double)


def many_rows(kind: type[Cell], steps: int = 12) -> tuple[Cell, Tensor, tuple[Tensor, ...]]:
    """A cell and rows enough for products of pairs."""
    torch.manual_seed(7)
    cell = kind(20, 50)
    return cell, torch.randn(70, steps, 20), tuple(torch.randn(70, 50) for _ in cell.initial_state(1))


@only_where_short
@pytest.mark.parametrize("kind", [LSTM, GRU, Elman])
def test_products_of_sums_of_two_bfloat16_numbers(kind: type[Cell], precision: Callable[[str], None]) -> None:
    cell, inputs, state = many_rows(kind)
    full = everything(cell, inputs, state, memory="store", short=False)
    precision("high")
    high = everything(cell, inputs, state, memory="store", short=False)
    for name, value in full.items():
        assert (high[name] - value).norm() <= OF_PAIRS.relative * value.norm(), name
        assert not torch.equal(high[name], value), name


@only_where_short
@pytest.mark.parametrize("memory", ["recompute", "checkpoint"])
def test_pairs_where_steps_are_run_again(memory: str, precision: Callable[[str], None]) -> None:
    cell, inputs, state = many_rows(LSTM)
    precision("high")
    stored, again = (everything(cell, inputs, state, memory=m, short=False) for m in ("store", memory))
    assert_same(again, stored, TOLERANCES[torch.float32])


@only_where_short
def test_an_infinite_input_of_products_of_pairs(precision: Callable[[str], None]) -> None:
    cell, inputs, state = many_rows(LSTM)
    inputs[40, 3, 7] = torch.inf
    given = type(cell.initial_state(1))(*state)
    full, _ = unroll(cell, inputs, given, options=("native", "store"))
    precision("high")
    high, _ = unroll(cell, inputs, given, options=("native", "store"))
    assert full.isfinite().all()
    assert (high - full).norm() <= OF_PAIRS.relative * full.norm()


@only_where_short
def test_medium_precision_is_that_of_autocast(precision: Callable[[str], None]) -> None:
    cell, inputs, state = many_rows(GRU)
    asked = everything(cell, inputs, state, memory="store", short=True)
    precision("medium")
    assert_same(everything(cell, inputs, state, memory="store", short=False), asked, EXACT)


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("asked", ["high", "medium"])
def test_precision_that_the_processor_has_no_products_for(asked: str, precision: Callable[[str], None]) -> None:
    cell, inputs, state = many_rows(LSTM)
    full = everything(cell, inputs, state, memory="store", short=False)
    precision(asked)
    assert_same(everything(cell, inputs, state, memory="store", short=False), full, EXACT)


@pytest.mark.usefixtures("full")
@pytest.mark.parametrize("kind", [BFLOAT16, PAIRS])
def test_a_plan_that_the_instruction_set_cannot_execute(kind: int) -> None:
    with pytest.raises(ValueError, match="no bfloat16 products"):
        _native.Plan([1, 1, 1, 0, 0, 0, 0, 0], [], kind)


@only_where_short
def test_nor_once_another_is_chosen() -> None:
    plan = _native.Plan([2, 2, 4, 4, 0, 1, 4, 4, 0, 0, 1, 2, 1, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, -1], [], BFLOAT16)
    assert plan.packed_bytes(0) >= 4 * 4 * 2
    try:
        _native.choose_instruction_set("scalar")
        with pytest.raises(ValueError, match="no such"):
            plan.packed_bytes(0)
    finally:
        _native.choose_instruction_set("")


@pytest.mark.usefixtures("full")
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


@pytest.mark.usefixtures("full")
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


@pytest.mark.usefixtures("full")
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
