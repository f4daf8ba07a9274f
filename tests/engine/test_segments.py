"""memory="checkpoint": segments are run again, of few rows with the outputs that are known."""

from __future__ import annotations

import pytest
import torch
from tests.conformance.cases import CASES, Case, make_problem, solve
from tests.tolerances import EXACT, TOLERANCES, assert_same
from torch import Tensor

from echoic.cells import LSTM
from echoic.engine import unroll
from echoic.engine.compiled import Compiled, compiled, effective_tensors
from echoic.engine.layout import Timing, dense_timing
from echoic.engine.passes import Given, forward, pass_over
from echoic.engine.segments import segment_size

BATCH, STEPS = 4, 9


def packed(*, ragged: bool, cleared: bool) -> tuple[Timing, int]:
    """Steps of rows of different lengths, or of one length backwards; some states are cleared. And how many rows."""
    if ragged:
        active = torch.tensor([4, 4, 3, 3, 3, 1, 1, 1, 1])
        offsets = active.cumsum(0) - active
    else:
        offsets, active, _ = dense_timing(STEPS, BATCH, True)
    rows = int(active.sum())
    flags = (torch.arange(rows) % 3 == 1).to(torch.uint8) if cleared else None
    return Timing(offsets, active, flags), rows


@pytest.mark.parametrize("cleared", [False, True])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_known_outputs_give_what_the_first_run_kept(case: Case, ragged: bool, cleared: bool) -> None:
    cell = case.build()
    step = compiled(cell)
    assert isinstance(step, Compiled)
    timing, rows = packed(ragged=ragged, cleared=cleared)
    generator = torch.Generator().manual_seed(3)

    def numbers(*shape: int) -> Tensor:
        return 0.5 * torch.randn(*shape, dtype=torch.float64, generator=generator)

    states, fresh = ([numbers(BATCH, width).abs() for width in step.widths] for _ in range(2))
    parameters = [parameter.detach() for parameter in effective_tensors(cell, step.recording.parameters)]
    given = Given(numbers(rows, step.input_width), states, fresh if cleared else [], parameters)
    (made,) = forward([pass_over(step, given, timing, "gates")])
    (again,) = forward([pass_over(step, given, timing, "gates", made.outputs)])
    assert (again.outputs is made.outputs) == (step.aliased is not None)
    found, expected = (
        {str(i): part for i, part in enumerate((each.kept, *each.last)) if part is not None} for each in (again, made)
    )
    assert_same(found, expected, TOLERANCES[torch.float64])


def test_the_outputs_are_looked_at() -> None:
    """With other outputs come other gates: nothing is made by running the recurrence after all."""
    cell = LSTM(3, 7)
    step = compiled(cell)
    assert isinstance(step, Compiled)
    timing = dense_timing(STEPS, BATCH, False)
    parameters = [parameter.detach() for parameter in effective_tensors(cell, step.recording.parameters)]
    given = Given(torch.randn(STEPS * BATCH, 3), [torch.zeros(BATCH, 7)] * 2, [], parameters)
    (made,) = forward([pass_over(step, given, timing, "gates")])
    (other,) = forward([pass_over(step, given, timing, "gates", made.outputs + 1)])
    assert other.kept is not None
    assert made.kept is not None
    assert (other.kept - made.kept).abs().max() > 0.01


@pytest.mark.parametrize("batch", [4, 5])
def test_outputs_are_kept_for_few_rows_alone(batch: int) -> None:
    kept: list[torch.Size] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.shape) or tensor, lambda t: t):
        unroll(LSTM(3, 7), torch.randn(batch, 40, 3), options=("native", "checkpoint"))
    assert ((40, batch, 7) in kept) == (batch == 4)


@pytest.mark.parametrize("reverse", [False, True])
def test_segments_in_which_no_row_takes_a_step(reverse: bool) -> None:
    """T is longer than the longest row by more than a segment."""
    problem = make_problem(CASES[0], 3, 60)
    assert segment_size(60, 3) <= 15
    options = {"lengths": torch.tensor([5, 20, 0]), "reverse": reverse}
    found = [
        solve(
            problem, lambda *given, memory=memory, **how: unroll(*given, options=("native", memory), **how), **options
        )
        for memory in ("checkpoint", "store")
    ]
    assert_same(found[0], found[1], TOLERANCES[torch.float64])


def test_a_changed_output_is_found_out() -> None:
    outputs, _ = unroll(LSTM(3, 7), torch.randn(2, 40, 3), options=("native", "checkpoint"))
    loss = outputs.square().sum()
    with torch.no_grad():
        outputs.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_state_that_is_carried_over_is_the_same_in_segments() -> None:
    torch.manual_seed(0)
    cell, inputs = LSTM(3, 7).double(), torch.randn(2, 40, 3, dtype=torch.float64)
    found = []
    for memory in ("checkpoint", "store"):
        outputs, last = unroll(cell, inputs, options=("native", memory))
        found.append({"outputs": outputs, **dict(last._asdict())})
    assert_same(found[0], found[1], EXACT)
