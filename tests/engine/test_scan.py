"""The scan backend: what it takes and refuses, and long sequences in many blocks and chunks against the loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
import torch
from tests.conformance.cases import CASES, Case, make_problem, solve
from tests.tolerances import TOLERANCES, Tolerance, assert_same
from torch import Tensor

from echoic.cells import Cell, Decay, LinearCell, MinGRU, build_cell, observed, registered_cells
from echoic.engine import choice, record_states, scan, unroll
from echoic.errors import BackendError
from echoic.layers import Recurrent
from echoic.layers.zoneout import Zoneout
from echoic.notices import collected

LINEAR = [case for case in CASES if issubclass(registered_cells()[case.name], LinearCell)]


def run(backend: str):
    def with_backend(cell: Cell, inputs: Tensor, state=None, **options) -> tuple[Tensor, Any]:
        return unroll(cell, inputs, state, options=(backend, "store"), **options)

    return with_backend


def test_linear_cells_are_these() -> None:
    assert {case.name for case in LINEAR} == {"MinGRU", "MinLSTM", "SRU", "LRU", "SelectiveSSM"}


@pytest.mark.parametrize("case", LINEAR, ids=str)
def test_auto_takes_the_scan_and_says_nothing(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no native engine: on another device, or where it was not built."""
    monkeypatch.setattr(choice, "BACKENDS", tuple(b for b in choice.BACKENDS if b.name != "native"))
    cell = build_cell(case.name, 3, 5, **case.options)
    assert Recurrent(cell).explain().startswith(f"layer 0: {case.name} on scan")
    with collected() as said:
        unroll(cell, torch.randn(2, 6, 3), lengths=torch.tensor([6, 2]))
    assert said == []


# 150 steps are chunks and a remainder; blocks of 60 and 1 step cut between and through them
@pytest.mark.parametrize("block", [None, 60, 1], ids=["whole", "blocks", "steps"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("case", LINEAR, ids=str)
def test_long_sequences_with_lengths_and_resets(
    case: Case, reverse: bool, block: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = make_problem(case, 5, 150)
    if block is not None:
        monkeypatch.setitem(scan.BLOCK, "cpu", 5 * problem.cell.hidden_size * block)
    reset = torch.zeros(5, 150, dtype=torch.bool)
    reset[0, [1, 59, 60, 61, 149]] = reset[1, [0, 130]] = reset[3, 7] = True
    lengths = torch.tensor([150, 131, 0, 150, 60])
    fresh = make_problem(case, 5, 1, seed=5).state
    options = {"lengths": lengths, "reset": reset, "fresh": fresh, "reverse": reverse}
    found, expected = (solve(problem, run(backend), **options) for backend in ("scan", "reference"))
    assert_same(found, expected, TOLERANCES[torch.float64])


@pytest.mark.parametrize("case", LINEAR, ids=str)
def test_single_precision_over_a_thousand_steps(case: Case) -> None:
    """As near to the loop in double precision as the loop in single precision is, but for a factor of three."""
    problem = make_problem(case, 2, 1000)
    truth = solve(problem, run("reference"))
    single = problem.to(torch.float32)
    found, loop = solve(single, run("scan")), solve(single, run("reference"))
    for name, value in truth.items():
        error, of_loop = ((result[name].double() - value).abs().max().item() for result in (found, loop))
        assert error <= 3 * of_loop + 1e-6 * (1 + value.abs().max().item()), name


def test_a_graph_of_gradients() -> None:
    """The norm of a gradient can be learnt from, through the scan as through the loop."""
    results = []
    for backend in ("scan", "reference"):
        problem = make_problem(LINEAR[0], 2, 60)
        inputs = problem.inputs.clone().requires_grad_()
        outputs, _ = unroll(problem.cell, inputs, problem.state, options=(backend, "store"))
        (gradient,) = torch.autograd.grad((outputs * problem.pull).sum(), inputs, create_graph=True)
        weights = dict(problem.cell.named_parameters())
        second = torch.autograd.grad(gradient.square().sum(), list(weights.values()))
        results.append(dict(zip(weights, second, strict=True)))
    assert_same(results[0], results[1], TOLERANCES[torch.float64])


def test_autocast_gives_the_loops_types() -> None:
    for case in LINEAR:
        cell, inputs = build_cell(case.name, 3, 5, **case.options), torch.randn(4, 70, 3)
        expected, _ = unroll(cell, inputs, options=("reference", "store"))
        with torch.autocast("cpu", torch.bfloat16):
            (found, end), (loop, last) = (unroll(cell, inputs, options=(b, "store")) for b in ("scan", "reference"))
        assert found.dtype == loop.dtype
        assert [part.dtype for part in end] == [part.dtype for part in last]
        assert_same({"outputs": found.detach()}, {"outputs": expected.detach()}, Tolerance(0.1, 0.1))
        (found.float().sum() + end[0].float().sum()).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in cell.parameters())


class OwnUpdate(MinGRU):
    """A cell of its own, whatever it inherits."""

    def update(self, projected: Tensor, state: Any) -> tuple[Tensor, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return state.hidden, state


class SpeedsState(NamedTuple):
    """All [B, H]."""

    hidden: Tensor
    fast: Tensor
    slow: Tensor


class Speeds(LinearCell):
    """A user's cell: two fields of unequal memory that make one output."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.make_input_weights(3 * hidden_size)
        self.reset_parameters()

    def initial_state(self, batch_size: int) -> SpeedsState:
        return SpeedsState(*(self.zeros(batch_size, self.hidden_size) for _ in range(3)))

    def coefficients(self, projected: Tensor) -> tuple[Decay, Decay]:
        gate, fast, slow = projected.chunk(3, dim=-1)
        keep = torch.sigmoid(gate)
        return Decay(keep, fast), Decay(keep.sqrt(), -slow)

    def read_out(self, projected: Tensor, memory: Sequence[Tensor]) -> Tensor:
        return torch.tanh(memory[0] - 2 * memory[1])


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_a_users_cell_with_two_fields(reverse: bool) -> None:
    torch.manual_seed(0)
    cell = Speeds(3, 4).double()
    inputs, lengths = torch.randn(3, 70, 3, dtype=torch.float64), torch.tensor([70, 0, 31])
    state = SpeedsState(*torch.randn(3, 3, 4, dtype=torch.float64))
    results = []
    for backend in ("scan", "reference"):
        outputs, end = run(backend)(cell, inputs, state, lengths=lengths, reverse=reverse)
        results.append({"outputs": outputs.detach()} | {k: v.detach() for k, v in end._asdict().items()})
    assert_same(results[0], results[1], TOLERANCES[torch.float64])
    assert Recurrent(cell, backend="scan").explain().startswith("layer 0: Speeds on scan")


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        (build_cell("GRU", 3, 5), "GRU is no LinearCell"),
        (OwnUpdate(3, 5), "OwnUpdate writes an update of its own"),
        (Zoneout(MinGRU(3, 5), 0.5), "Zoneout is no LinearCell"),
    ],
    ids=["GRU", "update", "Zoneout"],
)
def test_other_cells_are_refused(cell: Cell, reason: str) -> None:
    with pytest.raises(BackendError, match=reason):
        unroll(cell, torch.randn(2, 6, 3), options=("scan", "store"))
    outputs, _ = unroll(cell, torch.randn(2, 6, 3))
    assert outputs.shape == (2, 6, 5)


@pytest.mark.parametrize("memory", ["recompute", "checkpoint"])
def test_less_memory_is_refused(memory: str) -> None:
    with pytest.raises(BackendError, match=f"a scan keeps all gates; memory='{memory}'"):
        unroll(MinGRU(3, 5), torch.randn(2, 6, 3), options=("scan", memory))


def test_observed_and_recorded_steps_run_one_by_one() -> None:
    cell, inputs = MinGRU(3, 5), torch.randn(2, 6, 3)
    with observed() as seen, collected() as said:
        unroll(cell, inputs)
        with pytest.raises(BackendError, match="observed one by one"):
            unroll(cell, inputs, options=("scan", "store"))
    assert len(seen["z"]) == 6
    assert said == []
    with record_states() as runs:
        unroll(cell, inputs)
    assert len(runs[0].states) == 6
