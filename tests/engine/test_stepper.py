"""Streaming by the native engine gives what the cell gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.conformance.cases import CASES, Case, make_problem
from tests.conformance.checks import by_steps
from tests.tolerances import TOLERANCES

from echoic.cells import LSTM, Cell
from echoic.engine.stepper import Stepper
from echoic.errors import BackendError


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_streaming_is_the_whole_sequence(case: Case, dtype: torch.dtype) -> None:
    problem = make_problem(case, 3, 11)
    given = problem.to(dtype)
    stepper = Stepper(given.cell, batch=3)
    for now, start in zip(stepper.state(), given.state, strict=True):
        now[:] = start.detach().numpy()
    outputs = np.stack([stepper.step(x) for x in given.inputs.detach().unbind(1)], 1)
    expected, end = by_steps(problem.cell, problem.inputs, problem.state)
    found = {"outputs": torch.from_numpy(outputs)} | {
        str(i): torch.from_numpy(s) for i, s in enumerate(stepper.state())
    }
    wanted = {"outputs": expected.detach()} | {str(i): part.detach() for i, part in enumerate(end)}
    tolerance = TOLERANCES[dtype]
    for name, value in wanted.items():
        torch.testing.assert_close(found[name].double(), value, rtol=tolerance.relative, atol=tolerance.absolute)


def test_rows_begin_anew() -> None:
    cell = LSTM(3, 5)
    stepper, other = Stepper(cell, batch=2), Stepper(cell, batch=2)
    generator = np.random.default_rng(2)
    first, second = generator.normal(size=(2, 2, 3)).astype(np.float32)
    fresh = other.step(second)
    stepper.step(first)
    stepper.reset([1])
    output = stepper.step(second)
    assert np.array_equal(output[1], fresh[1])
    assert not np.allclose(output[0], fresh[0])
    stepper.reset()
    assert np.array_equal(stepper.step(second), fresh)


def test_what_cannot_be_is_said() -> None:
    class Odd(LSTM):
        def update(self, projected, state):
            if projected.sum() > 0:
                return super().update(projected, state)
            return super().update(-projected, state)

    with pytest.raises(BackendError, match=r"Odd is no program.*line"):
        Stepper(Odd(3, 5))
    with pytest.raises(ValueError, match=r"found shape \[3\], expected \[1, 3\]"):
        Stepper(LSTM(3, 5)).step(np.zeros(3, np.float32))
    assert isinstance(LSTM(3, 5), Cell)
