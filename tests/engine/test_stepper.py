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
from echoic.engine.stepper import WEIGHTS, Stepper
from echoic.errors import BackendError, OptionError


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


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize(("batch", "width"), [(1, 600), (9, 280)], ids=["columns", "rows"])
def test_several_threads_give_the_same_bits(batch: int, width: int, weights: str) -> None:
    torch.manual_seed(4)
    cell = LSTM(5, width)
    one, several = (Stepper(cell, batch, threads, weights) for threads in (1, 3))
    for x in np.random.default_rng(5).normal(size=(20, batch, 5)).astype(np.float32):
        assert np.array_equal(one.step(x), several.step(x))
    for a, b in zip(one.state(), several.state(), strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_weights_of_eight_bits_are_near_to_those_given(case: Case) -> None:
    given = make_problem(case, 3, 11).to(torch.float32)
    exact, rounded = Stepper(given.cell, batch=3), Stepper(given.cell, batch=3, weights="int8")
    for stepper in (exact, rounded):
        for now, start in zip(stepper.state(), given.state, strict=True):
            now[:] = start.detach().numpy()
    tolerance = TOLERANCES[torch.int8]
    for x in given.inputs.detach().unbind(1):
        np.testing.assert_allclose(
            rounded.step(x), exact.step(x), rtol=tolerance.relative, atol=tolerance.absolute, equal_nan=False
        )


@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize("width", [9, 530], ids=lambda width: f"H {width}")
def test_weights_of_eight_bits_are_multiples_of_a_unit(width: int, batch: int) -> None:
    """A column and 512 of its rows have one: 1/127 of the largest number among them."""
    torch.manual_seed(7)
    cell, twin = LSTM(5, width), LSTM(5, width)
    with torch.no_grad():
        for name, weight in cell.named_parameters():
            pieces = weight.split(512, dim=1) if weight.dim() == 2 else []
            units = [piece.abs().amax(1, keepdim=True) / 127 for piece in pieces]
            whole = [(piece / unit).round() * unit for piece, unit in zip(pieces, units, strict=True)]
            twin.get_parameter(name).copy_(torch.cat(whole, 1) if whole else weight)
    rounded, due, plain = Stepper(cell, batch, weights="int8"), Stepper(twin, batch), Stepper(cell, batch)
    tolerance = TOLERANCES[torch.float32]
    for x in np.random.default_rng(8).normal(size=(10, batch, 5)).astype(np.float32):
        found = rounded.step(x)
        np.testing.assert_allclose(found, due.step(x), rtol=tolerance.relative, atol=tolerance.absolute)
    assert not np.allclose(found, plain.step(x), rtol=0, atol=tolerance.absolute)


def test_a_row_that_is_not_finite_stays_alone() -> None:
    torch.manual_seed(9)
    cell = LSTM(3, 5)
    stepper, other = Stepper(cell, batch=2, weights="int8"), Stepper(cell, batch=2, weights="int8")
    x = np.ones((2, 3), np.float32)
    x[1, 1] = np.inf
    output = stepper.step(x)
    assert np.isnan(output[1]).all()
    assert np.array_equal(output[0], other.step(np.ones((2, 3), np.float32))[0])


def test_weights_are_refused_with_a_sentence() -> None:
    with pytest.raises(OptionError, match='weights: found "int4", expected one of as given, int8'):
        Stepper(LSTM(3, 5), weights="int4")
    with pytest.raises(OptionError, match='weights: found "int8" for a cell in float64, expected one in float32'):
        Stepper(LSTM(3, 5).double(), weights="int8")


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


def test_an_input_may_lie_where_the_step_writes() -> None:
    """On several threads, which have parts of the output each: in that very place, and in a state that was read."""
    torch.manual_seed(7)
    cell = LSTM(256, 256)
    apart, together = Stepper(cell, threads=2), Stepper(cell, threads=2)
    x = np.random.default_rng(7).standard_normal((1, 256)).astype(np.float32)
    for _ in range(200):
        due = apart.step(x.copy())
        assert together._session.step(x, x)
        assert np.array_equal(x, due)
        read, before = together.state()[0], apart.state()[0]
        assert np.array_equal(together.step(x), apart.step(x))
        assert np.array_equal(together.step(read), apart.step(before.copy()))


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
