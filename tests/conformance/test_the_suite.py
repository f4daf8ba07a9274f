"""The checks can fail: each of these mistakes, found in respected code, is caught by the check named beside it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.conformance import checks
from tests.conformance.cases import Case, Runner
from torch import Tensor

from echoic.cells import Cell
from echoic.engine import Call, unroll
from echoic.engine.reference import Reference

LSTM, GRU, ELMAN = Case("LSTM", {}), Case("GRU", {}), Case("Elman", {})
PLAIN = ("reference", "store")


def right(cell: Cell, inputs: Tensor, state: Any = None, **options: Any) -> tuple[Tensor, Any]:
    return unroll(cell, inputs, state, options=PLAIN, **options)


def starts_with_swapped_states(cell: Cell, inputs: Tensor, state: Any = None, **options: Any) -> tuple[Tensor, Any]:
    return right(cell, inputs, type(state)(*reversed(state)), **options)


def ends_with_swapped_states(cell: Cell, inputs: Tensor, state: Any = None, **options: Any) -> tuple[Tensor, Any]:
    outputs, end = right(cell, inputs, state, **options)
    return outputs, type(end)(*reversed(end))


def starts_from_zero(cell: Cell, inputs: Tensor, state: Any = None, **options: Any) -> tuple[Tensor, Any]:
    return right(cell, inputs, None, **options)


def returns_the_old_state(cell: Cell, inputs: Tensor, state: Any = None, **options: Any) -> tuple[Tensor, Any]:
    return right(cell, inputs, state, **options)[0], right(cell, inputs[:, :-1], state)[1]


def crosses_two_gates(cell: Cell, inputs: Tensor, state: Any = None, **options: Any) -> tuple[Tensor, Any]:
    class Crossed(type(cell)):
        def project(self, inputs: Tensor) -> Tensor:
            first, second, rest = super().project(inputs).split([7, 7, self.weight_ih.shape[0] - 14], dim=-1)
            return torch.cat([second, first, rest], dim=-1)

    own, cell.__class__ = cell.__class__, Crossed
    try:
        return right(cell, inputs, state, **options)
    finally:
        cell.__class__ = own


def ignores_the_lengths(cell: Cell, inputs: Tensor, state: Any = None, **options: Any) -> tuple[Tensor, Any]:
    return right(cell, inputs.nan_to_num(), state, **{**options, "lengths": None})


def multiplies_padding_by_zero(cell: Cell, inputs: Tensor, state: Any = None, **options: Any) -> tuple[Tensor, Any]:
    lengths = options.pop("lengths")
    inside = torch.arange(inputs.shape[1]) < lengths.unsqueeze(1)
    masked = (inputs * inside.unsqueeze(2)).transpose(0, 1)  # 0 * NaN
    outputs, end = Reference().run(cell, Call(masked, state, state, lengths, **options))
    return outputs.transpose(0, 1), end


def flips_the_padding_too(cell: Cell, inputs: Tensor, state: Any = None, **options: Any) -> tuple[Tensor, Any]:
    if options.pop("reverse", False):
        outputs, end = right(cell, inputs.nan_to_num(0, 0, 0).flip(1), state)
        return outputs.flip(1), end
    return right(cell, inputs, state, **options)


def mixes_rows(cell: Cell, inputs: Tensor, state: Any = None, **options: Any) -> tuple[Tensor, Any]:
    return right(cell, inputs - 0.05 * inputs.mean(0, keepdim=True), state, **options)


def cuts_a_gradient(cell: Cell, inputs: Tensor, state: Any = None, **options: Any) -> tuple[Tensor, Any]:
    outputs, end = right(cell, inputs, state, **options)
    return outputs, type(end)(end[0], *(part.detach() for part in end[1:]))


def forgets_the_gradient_of_a_bias(cell: Cell, inputs: Tensor, *rest: Any, **options: Any) -> tuple[Tensor, Any]:
    cell.bias_hh.requires_grad_(False)
    try:
        outputs, end = right(cell, inputs, *rest, **options)
    finally:
        cell.bias_hh.requires_grad_(True)
    return outputs, end


def ignores_resets(cell: Cell, inputs: Tensor, state: Any = None, **options: Any) -> tuple[Tensor, Any]:
    return right(cell, inputs, state, **{**options, "reset": None})


def resets_one_step_late(cell: Cell, inputs: Tensor, state: Any = None, **options: Any) -> tuple[Tensor, Any]:
    reset = options.pop("reset").roll(1, dims=1)
    return right(cell, inputs, state, reset=reset, **options)


def resets_to_zero(cell: Cell, inputs: Tensor, state: Any = None, **options: Any) -> tuple[Tensor, Any]:
    return right(cell, inputs, state, **{**options, "fresh": None})


MISTAKES: list[tuple[Runner, Case, checks.Check]] = [
    (starts_with_swapped_states, LSTM, checks.step_is_unroll),
    (ends_with_swapped_states, LSTM, checks.chunks_are_the_whole),
    (starts_from_zero, GRU, checks.step_is_unroll),
    (starts_from_zero, GRU, checks.chunks_are_the_whole),
    (returns_the_old_state, GRU, checks.step_is_unroll),
    (crosses_two_gates, LSTM, checks.chunks_are_the_whole),
    (crosses_two_gates, GRU, checks.chunks_are_the_whole),
    (ignores_the_lengths, ELMAN, checks.padded_is_alone),
    (ignores_the_lengths, ELMAN, checks.empty_rows_keep_the_state),
    (multiplies_padding_by_zero, GRU, checks.padded_is_alone),
    (flips_the_padding_too, GRU, checks.padded_is_alone),
    (mixes_rows, ELMAN, checks.rows_are_independent),
    (cuts_a_gradient, LSTM, checks.step_is_unroll),
    (forgets_the_gradient_of_a_bias, LSTM, checks.step_is_unroll),
    (ignores_resets, GRU, checks.resets_part_sequences),
    (resets_one_step_late, GRU, checks.resets_part_sequences),
    (resets_to_zero, LSTM, checks.resets_part_sequences),
]


@pytest.mark.parametrize(
    ("mistake", "case", "check"),
    [pytest.param(*row, id=f"{row[0].__name__}-{row[1]}-{row[2].__name__}") for row in MISTAKES],
)
def test_a_mistake_is_caught(mistake: Runner, case: Case, check: checks.Check) -> None:
    check(case, right, torch.float64)
    with pytest.raises(AssertionError):
        check(case, mistake, torch.float64)
