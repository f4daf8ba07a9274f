"""What the engine takes, and what it says about the rest."""

from __future__ import annotations

import pytest
import torch

from echoic.cells import GRU, LSTM, GRUState, LSTMState
from echoic.engine import unroll
from echoic.errors import OptionError


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_lengths_of_any_whole_type(dtype: torch.dtype) -> None:
    cell, inputs = GRU(3, 7), torch.randn(3, 6, 3)
    outputs, _ = unroll(cell, inputs, lengths=torch.tensor([2, 6, 0], dtype=dtype))
    whole, _ = unroll(cell, inputs)
    assert [int(row.abs().sum(1).count_nonzero()) for row in outputs] == [2, 6, 0]
    torch.testing.assert_close(outputs[0, :2], whole[0, :2])


def test_full_lengths_are_no_lengths() -> None:
    cell, inputs = LSTM(3, 7), torch.randn(3, 6, 3)
    found, expected = unroll(cell, inputs, lengths=torch.tensor([6, 6, 6])), unroll(cell, inputs)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1].cell, expected[1].cell)


def test_inputs_and_states_are_left_as_they_are() -> None:
    cell, inputs, state = GRU(3, 7), torch.randn(3, 6, 3), GRUState(torch.randn(3, 7))
    before = inputs.clone(), state.hidden.clone()
    for backend in ("torch", "reference"):
        for reverse in (False, True):
            unroll(cell, inputs, state, lengths=torch.tensor([2, 6, 0]), reverse=reverse, options=(backend, "store"))
    assert torch.equal(inputs, before[0])
    assert torch.equal(state.hidden, before[1])


def test_inputs_need_not_be_contiguous() -> None:
    cell, inputs = LSTM(3, 7), torch.randn(6, 3, 3).transpose(0, 1)
    for backend in ("torch", "reference"):
        found, _ = unroll(cell, inputs, options=(backend, "store"))
        expected, _ = unroll(cell, inputs.contiguous(), options=(backend, "store"))
        torch.testing.assert_close(found, expected)


INPUTS = torch.zeros(2, 6, 3)


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (torch.zeros(3), {}, r"inputs: found shape \[3\], expected \[B, T, 3\]"),
        (torch.zeros(6, 3), {}, r"inputs: found shape \[6, 3\], expected \[B, T, 3\]"),
        (torch.zeros(2, 6, 4), {}, r"inputs: found shape \[2, 6, 4\], expected \[B, T, 3\]"),
        (INPUTS, {"lengths": torch.tensor([6])}, r"lengths: found shape \[1\], expected \[2\]"),
        (INPUTS, {"lengths": torch.tensor([6, 7])}, "lengths: found 6 to 7, expected 0 to 6"),
        (INPUTS, {"lengths": torch.tensor([-1, 6])}, "lengths: found -1 to 6"),
        (INPUTS, {"lengths": torch.tensor([1.5, 6.0])}, "lengths: found torch.float32, expected whole numbers"),
        (INPUTS, {"lengths": torch.tensor([True, False])}, "lengths: found torch.bool"),
        (INPUTS[:, :0], {"lengths": torch.tensor([0, 1])}, "expected 0 to 0"),
        (INPUTS, {"reset": torch.zeros(6, 2)}, r"reset: found shape \[6, 2\], expected \[2, 6\]"),
        (INPUTS, {"state": LSTMState(torch.zeros(2, 5), torch.zeros(2, 6))}, "state of LSTM: found shapes"),
        (INPUTS, {"state": (torch.zeros(2, 5),)}, "state of LSTM: found shapes"),
        (INPUTS, {"state": LSTMState(torch.zeros(1, 5), torch.zeros(1, 5))}, "state of LSTM: found shapes"),
    ],
)
def test_shapes_that_do_not_fit(inputs: torch.Tensor, options: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        unroll(LSTM(3, 5), inputs, **options)


def test_a_plain_tuple_is_a_state() -> None:
    state = (torch.randn(2, 5), torch.randn(2, 5))
    cell = LSTM(3, 5)
    assert type(unroll(cell, INPUTS, state)[1]) is LSTMState
    assert torch.equal(unroll(cell, INPUTS, state)[0], unroll(cell, INPUTS, LSTMState(*state))[0])
