"""Backpropagation that keeps less gives the same numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.conformance.cases import CASES, Case, make_problem, solve
from tests.tolerances import TOLERANCES, assert_same
from torch import Tensor

from echoic.cells import Cell
from echoic.engine import reference, unroll
from echoic.layers.zoneout import Zoneout


def runner(memory: str):
    def run(cell: Cell, inputs: Tensor, state: Any, **options: Any) -> tuple[Tensor, Any]:
        return unroll(cell, inputs, state, options=("reference", memory), **options)

    return run


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("memory", ["recompute", "checkpoint"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_are_equal(case: Case, memory: str, reverse: bool) -> None:
    problem = make_problem(case, 4, 11)  # 11 steps: the last segment is shorter than the others
    reset = torch.zeros(4, 11, dtype=torch.bool)
    reset[0, [2, 3, 9]] = reset[2, 0] = True
    options = {"lengths": torch.tensor([11, 7, 1, 0]), "reset": reset, "reverse": reverse}
    found, expected = (solve(problem, runner(mode), **options) for mode in (memory, "store"))
    assert_same(found, expected, TOLERANCES[torch.float64])


@pytest.mark.parametrize(
    ("memory", "kept", "updates"), [("store", 0, 37), ("recompute", 37, 74), ("checkpoint", 7, 74)]
)
def test_what_is_kept_and_run_again(memory: str, kept: int, updates: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """37 steps: nothing, every state, or every sixth state is kept for a replay, which runs each step once more."""
    problem = make_problem(CASES[0], 2, 37)
    kind, ran, replayable = type(problem.cell), [], []
    update, keep = kind.update, reference.checkpoint
    monkeypatch.setattr(kind, "update", lambda cell, x, state: ran.append(1) or update(cell, x, state))
    monkeypatch.setattr(reference, "checkpoint", lambda *given, **how: replayable.append(1) or keep(*given, **how))
    solve(problem, runner(memory))
    assert (len(replayable), len(ran)) == (kept, updates)


@pytest.mark.parametrize("memory", ["recompute", "checkpoint"])
def test_random_steps_are_replayed_as_they_were(memory: str) -> None:
    """Zoneout draws masks in each step; the replay draws the same ones."""
    results = []
    for mode in ("store", memory):
        problem = make_problem(next(case for case in CASES if str(case) == "LSTM"), 3, 11)
        torch.manual_seed(4)
        results.append(solve(problem._replace(cell=Zoneout(problem.cell, 0.4)), runner(mode)))
    assert_same(results[1], results[0], TOLERANCES[torch.float64])
