"""Where the operands of a run lie is what the prologue gives, known beforehand or not."""

from __future__ import annotations

import ctypes
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from tests.conformance.cases import CASES, Case, make_problem
from torch import Tensor, nn

from echoic.cells import LSTM, Cell
from echoic.engine import unroll
from echoic.engine.compiled import Compiled, compiled, effective_tensors
from echoic.engine.operands import Operands, Prologue
from echoic.errors import OptionError


class Hidden(NamedTuple):
    hidden: Tensor


class Cut(Cell):
    """Two matrices and two vectors that are pieces of one parameter each."""

    def __init__(self, size: int) -> None:
        super().__init__(size, size)
        self.weights = nn.Parameter(torch.randn(3, size, size))
        self.biases = nn.Parameter(torch.randn(2, size))

    def initial_state(self, batch_size: int) -> Hidden:
        return Hidden(self.zeros(batch_size, self.hidden_size))

    def project(self, inputs: Tensor) -> Tensor:
        return inputs @ self.weights[1] + self.biases[1]

    def update(self, projected: Tensor, state: Any) -> tuple[Tensor, Hidden]:
        hidden = (projected + state.hidden @ self.weights[2].t() + self.biases[0]).tanh()
        return hidden, Hidden(hidden)


class Computed(Cut):
    """A matrix that is computed from a parameter."""

    def project(self, inputs: Tensor) -> Tensor:
        return inputs @ self.weights[1].sigmoid()


class Bare(Cell):
    """No parameters at all: a running mean."""

    def initial_state(self, batch_size: int) -> Hidden:
        return Hidden(torch.zeros(batch_size, self.hidden_size))

    def project(self, inputs: Tensor) -> Tensor:
        return inputs * 0.1

    def update(self, projected: Tensor, state: Any) -> tuple[Tensor, Hidden]:
        hidden = projected + state.hidden * 0.9
        return hidden, Hidden(hidden)


def step_of(cell: Cell) -> Compiled:
    step = compiled(cell)
    assert isinstance(step, Compiled)
    return step


def all_operands(step: Compiled, parameters: list[Tensor]) -> tuple[Operands, list[Tensor], list[Tensor]]:
    """What is given for every derived vector and matrix, and these themselves."""
    derived = step.recording.prologue(*parameters)
    vectors = tuple(i for i, part in enumerate(derived) if part.dim() == 1)
    matrices = tuple(i for i, part in enumerate(derived) if part.dim() == 2)
    found = Prologue(step.recording.prologue, step.recording.shapes, vectors, matrices).operands(parameters)
    return found, [derived[i] for i in vectors], [derived[i] for i in matrices]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("cell", [LSTM(3, 5), LSTM(3, 5, projection_size=2), Cut(4)], ids=lambda cell: repr(cell))
def test_views_lie_where_the_prologue_sees_them(cell: Cell, dtype: torch.dtype) -> None:
    step = step_of(cell.to(dtype))
    found, vectors, matrices = all_operands(step, effective_tensors(cell, step.recording.parameters))
    assert found.addresses == [part.data_ptr() for part in (*vectors, *matrices)]
    assert found.strides == tuple(m.stride() for m in matrices)
    assert len(vectors) == 2
    assert len(matrices) >= 4  # forward and transposed


def test_parameters_of_other_shapes_are_refused() -> None:
    step = step_of(LSTM(3, 5))
    parameters = effective_tensors(LSTM(3, 4), step.recording.parameters)
    with pytest.raises(OptionError, match=r"found shapes \[\[16, .*, expected \[\[20, "):
        all_operands(step, parameters)


def numbers_at(address: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> NDArray[np.float64]:
    reach = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    memory = np.ctypeslib.as_array((ctypes.c_double * reach).from_address(address))
    return as_strided(memory, shape, [stride * memory.itemsize for stride in strides])


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_numbers_of_the_prologue_lie_there_as_long_as_the_operands_live(case: Case) -> None:
    cell = make_problem(case, 3, 2).to(torch.float64).cell
    step = step_of(cell)
    with torch.no_grad():
        parameters = effective_tensors(cell, step.recording.parameters)
        derived = step.recording.prologue(*parameters)
        strides, derived = [part.stride() for part in derived], [part.clone() for part in derived]
        vectors, matrices = (tuple(i for i, part in enumerate(derived) if part.dim() == dim) for dim in (1, 2))
        found = Prologue(step.recording.prologue, step.recording.shapes, vectors, matrices).operands(parameters)
    others = [torch.full_like(part, torch.nan) for part in derived * 3]  # in memory that nobody holds any more
    assert found.strides == tuple(strides[i] for i in matrices)
    all_strides = [*[(1,)] * len(vectors), *found.strides]
    for i, address, along in zip((*vectors, *matrices), found.addresses, all_strides, strict=True):
        np.testing.assert_array_equal(numbers_at(address, derived[i].shape, along), derived[i])
    del others


def test_a_cell_without_parameters() -> None:
    cell, inputs = Bare(4, 4), torch.randn(2, 6, 4, requires_grad=True)
    results = []
    for backend in ("native", "reference"):
        outputs, _ = unroll(cell, inputs, options=(backend, "store"))
        results.append((outputs, *torch.autograd.grad(outputs.square().sum(), inputs)))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [Cut, Computed])
def test_parameters_that_lie_otherwise(kind: type[Cut]) -> None:
    """Transposed in memory, as some optimisers and checkpoints leave them: outputs are the same."""
    torch.manual_seed(1)
    cell, inputs = kind(4), torch.randn(2, 6, 4)
    expected, _ = unroll(cell, inputs, options=("reference", "store"))
    for _ in range(2):  # as they are, then otherwise
        found, _ = unroll(cell, inputs, options=("native", "store"))
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        cell.weights.data = cell.weights.data.transpose(1, 2).contiguous().transpose(1, 2)
        cell.biases.data = cell.biases.data.t().contiguous().t()
    assert not cell.weights.is_contiguous()
