"""What the forward keeps for the backward: what is costly to make again, and no more."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pytest
from tests.conformance.cases import CASES, Case

from echoic.cells import GRU, LSTM, Cell, CoRNN, Elman, IndRNN, Jordan
from echoic.engine.compiled import Compiled, compiled
from echoic.engine.step_programs import CHEAP, StepPrograms, field_of_output, step_programs
from echoic.engine.trace import Recording, record


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


class Cut(NamedTuple):
    """A cell's recording and the programs made of it."""

    case: Case
    recording: Recording
    programs: StepPrograms


@pytest.fixture(scope="module", params=CASES, ids=str)
def cut(request: pytest.FixtureRequest) -> Cut:
    recording = record(request.param.build())
    return Cut(request.param, recording, step_programs(recording))


def test_the_backward_repeats_nothing_costly(cut: Cut) -> None:
    """No matmul, no sum and no function of the forward is done again: where it is needed it is kept."""
    forward = {o.name: o.kind for o in cut.programs.inference.operations}
    again = {forward[o.name] for o in cut.programs.backward.operations if o.name in forward}
    assert again <= CHEAP


def test_nothing_is_kept_twice(cut: Cut) -> None:
    programs, results = cut.programs, dict(cut.programs.forward.results)
    kept = [results[name] for name in programs.saved]
    assert len(kept) == len(set(kept))
    assert not set(kept) & {results[f"state.{field}"] for field in cut.recording.fields}  # kept as states
    read = {source.name for source in programs.backward.sources}
    assert set(programs.saved) <= read | {name for names in programs.operands for name in names}


def test_programs_do_not_depend_on_the_moment(cut: Cut) -> None:
    """Recordings of two cells of one structure are the same, whatever their numbers."""
    assert step_programs(record(cut.case.build(seed=5))) == cut.programs


def test_the_output_that_is_a_state_is_written_once() -> None:
    for cell, field in [(LSTM(3, 7), 0), (GRU(3, 7), 0), (Elman(3, 7), 0)]:
        step = compiled(cell)
        assert isinstance(step, Compiled)
        assert step.aliased == field


def test_what_is_run_again_with_known_outputs_makes_no_output(cut: Cut) -> None:
    known, programs = field_of_output(cut.recording), cut.programs
    assert (programs.again is None) == (known is None)
    if programs.again is None:
        return
    names = [name for name, _ in programs.forward.results if name not in ("output", f"state.{known}")]
    assert [name for name, _ in programs.again.results] == names
    assert f"state.{known}" not in {source.name for source in programs.again.sources}
