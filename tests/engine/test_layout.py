"""Rows of unequal lengths laid one after the other: against plain loops."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from echoic.engine.call import Call
from echoic.engine.layout import Layout, cleared_before

LENGTHS = [[5], [3, 3, 3], [4, 1, 5, 0, 2, 5], [0, 0, 1], [1] * 7, [0, 0]]


class State(NamedTuple):
    """hidden: [B, H]."""

    hidden: Tensor


def call(lengths: list[int] | None, reverse: bool, batch: int = 3, total: int = 6, resets: bool = False) -> Call:
    batch = len(lengths) if lengths is not None else batch
    inputs = torch.arange(total * batch * 2.0).view(total, batch, 2) + 1
    state = State(torch.randn(batch, 4))
    reset = None
    if resets:
        reset = torch.rand(total, batch) < 0.4
        for row, length in enumerate(lengths or []):
            reset[length:, row] = False
    given = None if lengths is None else torch.tensor(lengths)
    return Call(inputs, state, state, given, reset, reverse)


def time_of(step: int, length: int, reverse: bool) -> int:
    return length - 1 - step if reverse else step


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, *LENGTHS], ids=str)
def test_steps_lie_where_they_are_said_to(lengths: list[int] | None, reverse: bool) -> None:
    given = call(lengths, reverse)
    layout = Layout(given)
    total, batch = given.inputs.shape[:2]
    known = [total] * batch if lengths is None else lengths
    ranks = sorted(range(batch), key=lambda row: -known[row])
    assert layout.steps == max(known)
    assert layout.rows == sum(known)
    assert layout.active.tolist() == [sum(length > step for length in known) for step in range(layout.steps)]
    packed = layout.pack(given.inputs)
    assert packed.shape == (layout.rows, 2)
    seen = set()
    for step in range(layout.steps):
        for rank in range(int(layout.active[step])):
            row = ranks[rank]
            time = time_of(step, known[row], reverse)
            at = int(layout.offsets[step]) + rank
            assert packed[at].tolist() == given.inputs[time, row].tolist()
            seen.add(at)
    assert seen == set(range(layout.rows))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, *LENGTHS], ids=str)
def test_unpacking_undoes_packing(lengths: list[int] | None, reverse: bool) -> None:
    given = call(lengths, reverse)
    layout = Layout(given)
    found = layout.unpack(layout.pack(given.inputs))
    expected = given.inputs.clone()
    for row, length in enumerate(lengths or []):
        expected[length:, row] = 0
    assert torch.equal(found, expected)
    state = given.state.hidden
    assert torch.equal(layout.unranked(layout.ranked(state)), state)
    if lengths is not None:
        ranked = layout.ranked(torch.tensor(lengths).unsqueeze(1)).squeeze(1)
        assert ranked.tolist() == sorted(lengths, reverse=True)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, *LENGTHS], ids=str)
def test_resets_clear_before_the_step_that_comes_next(lengths: list[int] | None, reverse: bool) -> None:
    """Forward before the step of the reset; backwards before the last step of the part that ends there."""
    torch.manual_seed(2)
    given = call(lengths, reverse, resets=True)
    assert given.reset is not None
    layout = Layout(given, cleared_before(given))
    assert layout.cleared is not None
    total, batch = given.inputs.shape[:2]
    known = [total] * batch if lengths is None else lengths
    ranks = sorted(range(batch), key=lambda row: -known[row])
    for step in range(layout.steps):
        for rank in range(int(layout.active[step])):
            row = ranks[rank]
            time = time_of(step, known[row], reverse)
            due = bool(given.reset[time, row]) if not reverse else time + 1 < total and bool(given.reset[time + 1, row])
            assert bool(layout.cleared[int(layout.offsets[step]) + rank]) == due


def test_without_resets_nothing_is_cleared() -> None:
    assert cleared_before(call([3, 1], False)) is None
    assert Layout(call([3, 1], False)).cleared is None
