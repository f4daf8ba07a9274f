"""Streaming by the native engine gives what the cell gives."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable

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


@pytest.mark.parametrize(("batch", "width"), [(1, 300), (9, 140)], ids=["columns", "rows"])
def test_several_threads_give_the_same_bits(batch: int, width: int) -> None:
    torch.manual_seed(4)
    cell = LSTM(5, width)
    one, several = Stepper(cell, batch), Stepper(cell, batch, threads=3)
    for x in np.random.default_rng(5).normal(size=(20, batch, 5)).astype(np.float32):
        assert np.array_equal(one.step(x), several.step(x))
    for a, b in zip(one.state(), several.state(), strict=True):
        assert np.array_equal(a, b)


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
    for shape in [(3,), (2, 3), (1, 4), (1, 1, 3)]:
        for dtype in (np.float32, np.float64):
            with pytest.raises(ValueError, match=re.escape(f"found shape {list(shape)}, expected [1, 3]")):
                Stepper(LSTM(3, 5)).step(np.zeros(shape, dtype))
    assert isinstance(LSTM(3, 5), Cell)


def unaligned(x: np.ndarray) -> np.ndarray:
    memory = np.zeros(x.nbytes + 1, np.uint8)
    placed = memory[1:].view(x.dtype).reshape(x.shape)
    placed[:] = x
    return placed


def read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


FORMS: dict[str, Callable[[np.ndarray], object]] = {
    "contiguous": np.ascontiguousarray,
    "read only": read_only,
    "float32": lambda x: x.astype(np.float32),
    "float64": lambda x: x.astype(np.float64),
    "whole": lambda x: x.astype(np.int16),
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "unaligned": unaligned,
    "columns": np.asfortranarray,
    "every other": lambda x: np.repeat(x, 2, 1)[:, ::2],
    "masked": np.ma.masked_array,
    "list": np.ndarray.tolist,
    "memory": memoryview,
    "tensor": torch.from_numpy,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_inputs_of_any_type_and_layout(form: str, dtype: torch.dtype) -> None:
    cell = LSTM(3, 5).to(dtype)
    x = np.random.default_rng(3).integers(-3, 4, (2, 3)).astype(str(dtype).removeprefix("torch."))
    expected = cell.step(torch.from_numpy(x), cell.initial_state(2))[0].detach().numpy()
    given = FORMS[form](x)
    output = Stepper(cell, batch=2).step(given)
    assert output.dtype == x.dtype
    np.testing.assert_allclose(output, expected, rtol=1e-5, atol=1e-6)
    assert np.array_equal(np.asarray(given), x), "the input was written to"


def test_an_output_is_the_callers_own() -> None:
    stepper = Stepper(LSTM(3, 5), batch=2)
    x = np.random.default_rng(4).normal(size=(2, 3)).astype(np.float32)
    first = stepper.step(x)
    kept = first.copy()
    second = stepper.step(x)
    assert first.base is None
    assert np.array_equal(first, kept)
    assert not np.shares_memory(first, second)
    hidden = stepper.state()[0].copy()
    second[:] = 7
    assert np.array_equal(stepper.state()[0], hidden)


def test_a_state_read_outlives_its_stepper() -> None:
    stepper = Stepper(LSTM(3, 5), batch=2)
    stepper.step(np.ones((2, 3)))
    state = stepper.state()
    kept = [part.copy() for part in state]
    del stepper
    gc.collect()
    assert all(np.array_equal(part, before) for part, before in zip(state, kept, strict=True))


def test_the_session_writes_only_where_there_is_room() -> None:
    session = Stepper(LSTM(3, 5), batch=2)._session
    x, output = np.ones((2, 3), np.float32), np.zeros((2, 5), np.float32)
    narrow, wide, turned = output[:, :4].copy(), output.astype(np.float64), np.asfortranarray(output)
    for wrong in (narrow, wide, turned, read_only(output), [[0.0] * 5] * 2):
        with pytest.raises(ValueError, match="output is no writable contiguous array"):
            session.step(x, wrong)
    before = session.state(0).copy()
    assert not session.step(x.tolist(), output)
    assert not session.step(x.T, output)
    assert np.array_equal(session.state(0), before)
    assert not output.any()
    assert session.step(x, output)
    assert output.any()
    with pytest.raises(IndexError, match="no such state"):
        session.state(2)
