"""What the forward keeps for the backward: what is costly to make again, and no more."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.conformance.cases import CASES, Case

from echoic.cells import GRU, LSTM, Cell, CoRNN, Elman, IndRNN, Jordan
from echoic.engine.compiled import Compiled, compiled
from echoic.engine.step_programs import CHEAP, StepPrograms, step_programs
from echoic.engine.trace import record


def saved_kinds(programs: StepPrograms) -> dict[str, int]:
    """How often a value of each kind is kept."""
    kinds = {operation.name: operation.kind for operation in programs.forward.operations}
    results = dict(programs.forward.results)
    return dict(Counter(kinds.get(results[name], results[name]) for name in programs.saved))


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (Elman(3, 7), {}),  # the derivative of tanh is made of the new state
        (Elman(3, 7, nonlinearity="relu"), {}),
        (Elman(3, 7, nonlinearity="sigmoid"), {}),
        (IndRNN(3, 7), {}),
        (LSTM(3, 7), {"sigmoid": 3, "tanh": 2}),
        (LSTM(3, 7, coupled=True), {"sigmoid": 2, "tanh": 2}),
        (GRU(3, 7), {"sigmoid": 2, "tanh": 1, "slice": 1}),  # the slice: n's recurrent sum, which r multiplies
        (GRU(3, 7, reset_after=False), {"sigmoid": 2, "tanh": 1}),
        (CoRNN(3, 7), {"tanh": 1}),
        (Jordan(3, 7), {"tanh": 1}),
    ],
    ids=lambda value: repr(value) if isinstance(value, Cell) else "",
)
def test_what_is_kept(cell: Cell, expected: dict[str, int]) -> None:
    programs = step_programs(record(cell))
    assert saved_kinds(programs) == expected
    assert set(programs.saved.values()) <= {7}


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


def test_the_backward_repeats_nothing_costly(case: Case) -> None:
    """No matmul, no sum and no function of the forward is done again: where it is needed it is kept."""
    programs = step_programs(record(case.build()))
    forward = {o.name: o.kind for o in programs.inference.operations}
    again = {forward[o.name] for o in programs.backward.operations if o.name in forward}
    assert again <= CHEAP


def test_nothing_is_kept_twice(case: Case) -> None:
    programs = step_programs(record(case.build()))
    results = dict(programs.forward.results)
    kept = [results[name] for name in programs.saved]
    assert len(kept) == len(set(kept))
    outside = {results[f"state.{field}"] for field in record(case.build()).fields}
    assert not set(kept) & outside  # states are kept as states
    read = {source.name for source in programs.backward.sources}
    assert set(programs.saved) <= read | {name for names in programs.operands for name in names}


def test_programs_do_not_depend_on_the_moment(case: Case) -> None:
    """Two recordings of two cells of one structure are the same, so that a saved one can be compared."""
    first, second = (step_programs(record(case.build(seed=seed))) for seed in (0, 1))
    assert first == second


def test_the_output_that_is_a_state_is_written_once() -> None:
    for cell, field in [(LSTM(3, 7), 0), (GRU(3, 7), 0), (Elman(3, 7), 0)]:
        step = compiled(cell)
        assert isinstance(step, Compiled)
        assert step.aliased == field
