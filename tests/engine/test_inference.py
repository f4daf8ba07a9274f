"""Calls without gradients: the same bits as with them, whatever happened to the cell since the call before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.conformance.cases import CASES, Case, make_problem
from tests.tolerances import EXACT, assert_same
from torch import Tensor, nn
from torch.nn.utils import parametrize

from echoic.cells import GRU, LSTM, Cell, Elman
from echoic.engine import inference, unroll
from echoic.engine.record import record_states
from echoic.errors import BackendError, OptionError
from echoic.layers import Recurrent

NATIVE = ("native", "store")


def without_and_with_gradients(run: Callable[[], tuple[Tensor, Any]]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Outputs and last state of a call, by the one way and by the other."""
    found = []
    for recorded in (False, True):
        with torch.set_grad_enabled(recorded):
            outputs, end = run()
        found.append({"outputs": outputs.detach()} | {f"end {i}": part.detach() for i, part in enumerate(end)})
    without, with_gradients = found
    return without, with_gradients


def check(cell: Cell, inputs: Tensor, state: Any = None, *, reverse: bool = False, plain: bool = True) -> Tensor:
    """Both ways agree, and the plain one was taken, or not. Gives the outputs."""
    for parameter in cell.parameters():
        parameter.requires_grad_()
    with torch.no_grad():
        taken = inference.run([inference.Plain(cell, state, reverse)], inputs.transpose(0, 1))
    assert (taken is not None) is plain
    found, expected = without_and_with_gradients(lambda: unroll(cell, inputs, state, reverse=reverse, options=NATIVE))
    assert_same(found, expected, EXACT)
    return found["outputs"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_cell(case: Case) -> None:
    given = make_problem(case, 3, 11).to(torch.float32)
    found, expected = without_and_with_gradients(lambda: unroll(given.cell, given.inputs, given.state, options=NATIVE))
    assert_same(found, expected, EXACT)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_directions_and_types(reverse: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    cell = LSTM(3, 5).to(dtype)
    state = type(cell.initial_state(1))(*(torch.randn(4, 5, dtype=dtype) for _ in range(2)))
    check(cell, torch.randn(4, 7, 3, dtype=dtype), state, reverse=reverse)
    check(cell, torch.randn(4, 7, 3, dtype=dtype), reverse=reverse)
    check(cell, torch.randn(7, 4, 3, dtype=dtype).transpose(0, 1), reverse=reverse)


def test_parameters_that_change() -> None:
    torch.manual_seed(2)
    cell, inputs = GRU(3, 5), torch.randn(2, 6, 3)
    seen = [check(cell, inputs)]
    with torch.no_grad():
        cell.weight_hh.mul_(2)
    seen.append(check(cell, inputs))
    cell.weight_ih = nn.Parameter(torch.randn(15, 3))
    seen.append(check(cell, inputs))
    cell.weight_hh.data = torch.randn(15, 5)
    seen.append(check(cell, inputs))
    cell.weight_hh.data = torch.randn(5, 15).t()  # no longer contiguous
    seen.append(check(cell, inputs))
    with torch.no_grad():
        cell.weight_hh.mul_(2)
    seen.append(check(cell, inputs))
    cell.double()
    seen.append(check(cell, inputs.double()).float())
    for i, one in enumerate(seen[:-1]):
        assert not any(torch.equal(one, other) for other in seen[i + 1 : -1])


def test_options_that_change() -> None:
    torch.manual_seed(3)
    cell, inputs = Elman(3, 5), torch.randn(2, 6, 3)
    tanh = check(cell, inputs)
    cell.nonlinearity = "relu"
    relu = check(cell, inputs)
    assert not torch.equal(tanh, relu)
    assert (relu >= 0).all()


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def test_a_cell_that_is_parametrised_later() -> None:
    torch.manual_seed(4)
    cell, inputs = GRU(3, 5), torch.randn(2, 6, 3)
    before = check(cell, inputs)
    parametrize.register_parametrization(cell, "weight_hh", Doubled())
    after = check(cell, inputs, plain=False)
    assert not torch.equal(after, before)


def test_states_of_other_forms() -> None:
    torch.manual_seed(5)
    cell, inputs = LSTM(3, 5), torch.randn(4, 6, 3)
    strided = torch.randn(5, 4).t()
    check(cell, inputs, type(cell.initial_state(1))(strided, torch.randn(4, 5)), plain=False)
    with torch.no_grad():
        _, end = unroll(cell, inputs, (torch.randn(4, 5), torch.randn(4, 5)), options=NATIVE)
        assert type(end) is type(cell.initial_state(1))
        with pytest.raises(OptionError, match="found shapes"):
            unroll(cell, inputs, (torch.randn(3, 5), torch.randn(3, 5)), options=NATIVE)
        with pytest.raises(OptionError, match="found shapes"):
            unroll(cell, inputs, (torch.randn(4, 5),), options=NATIVE)
        with pytest.raises(BackendError, match="another type than the inputs"):
            unroll(cell, inputs.double(), options=NATIVE)


def test_both_directions_of_a_layer_and_a_learnt_state() -> None:
    torch.manual_seed(6)
    layer = Recurrent([LSTM(3, 5), LSTM(3, 5)], bidirectional=True, learn_initial_state=True, backend="native")
    assert layer.initial is not None
    for part in layer.initial:
        nn.init.normal_(part)
    inputs = torch.randn(4, 6, 3)
    found, expected = without_and_with_gradients(lambda: _flattened(layer(inputs)))
    assert_same(found, expected, EXACT)


def _flattened(result: tuple[Tensor, tuple[Any, ...]]) -> tuple[Tensor, list[Tensor]]:
    outputs, states = result
    return outputs, [part for state in states for part in state]


def test_who_looks_on_is_served() -> None:
    torch.manual_seed(7)
    cell, inputs = LSTM(3, 5), torch.randn(2, 6, 3)
    with torch.no_grad():
        expected, _ = unroll(cell, inputs)
        with record_states() as runs:
            unroll(cell, inputs)
        assert len(runs[0].states) == 6
        found = torch.vmap(lambda x: unroll(cell, x, options=NATIVE)[0])(inputs.unsqueeze(0).expand(3, -1, -1, -1))
    torch.testing.assert_close(found[2], expected)


def test_nothing_to_run() -> None:
    cell = LSTM(3, 5)
    with torch.no_grad():
        outputs, _ = unroll(cell, torch.randn(2, 0, 3))
    assert outputs.shape == (2, 0, 5)
