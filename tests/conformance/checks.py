"""What must hold for every cell on every backend. A check takes a case, a runner and the type of numbers it is given,
and raises AssertionError; the truth is always the cell's own ``step``, or the reference loop, in float64."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from tests.conformance.cases import Case, Engine, Problem, Runner, make_problem, solve
from tests.tolerances import TOLERANCES, assert_same
from torch import Tensor, nn

from echoic.cells import Cell

LENGTHS = [7, 1, 0, 63]
reference = Engine("reference", torch.float64).run

# batch, steps, input size, hidden size
SIZES = [(3, 7, 3, 7), (1, 1, 7, 63), (7, 63, 1, 7)]
SMALLEST = (3, 7, 3, 1)  # of cells without options: a projection needs something to project from


def by_steps(cell: Cell, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
    """A sequence as streaming runs it: one input at a time."""
    outputs = []
    for x in inputs.unbind(1):
        output, state = cell.step(x, state)
        outputs.append(output)
    return torch.stack(outputs, dim=1), state


def step_is_unroll(case: Case, run: Runner, dtype: torch.dtype) -> None:
    for size in SIZES if case.options else [*SIZES, SMALLEST]:
        problem = make_problem(case, *size)
        assert_same(solve(problem.to(dtype), run), solve(problem, by_steps), TOLERANCES[dtype])


def chunks_are_the_whole(case: Case, run: Runner, dtype: torch.dtype) -> None:
    problem = make_problem(case, 3, 63)

    def in_chunks(cell: Cell, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        outputs = []
        for part in inputs.split([7, 0, 1, 55], dim=1):
            output, state = run(cell, part, state)
            outputs.append(output)
        return torch.cat(outputs, dim=1), state

    assert_same(solve(problem.to(dtype), in_chunks), solve(problem, reference), TOLERANCES[dtype])


def reverse_is_the_mirror(case: Case, run: Runner, dtype: torch.dtype) -> None:
    problem = make_problem(case, 3, 7)

    def mirrored(cell: Cell, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        outputs, state = by_steps(cell, inputs.flip(1), state)
        return outputs.flip(1), state

    assert_same(solve(problem.to(dtype), run, reverse=True), solve(problem, mirrored), TOLERANCES[dtype])


def alone(problem: Problem, lengths: list[int], **options: Any) -> dict[str, Tensor]:
    """The rows of a batch run one by one, each of its own length, put together as the padded batch's result."""
    batch, steps = problem.inputs.shape[:2]
    results = []
    for row, length in enumerate(lengths):
        own = {name: value[row : row + 1, :length] for name, value in options.items() if isinstance(value, Tensor)}
        results.append(solve(problem.row(row, length), reference, **{**options, **own}))
    together: dict[str, Tensor] = {}
    for name, first in results[0].items():
        parts = [result[name] for result in results]
        if name in ("outputs", "gradient of inputs"):  # zero past a row's end
            whole = torch.zeros(batch, steps, first.shape[2], dtype=first.dtype)
            for row, part in enumerate(parts):
                whole[row, : part.shape[1]] = part[0]
            together[name] = whole
        elif name.startswith(("last", "gradient of first")):
            together[name] = torch.cat(parts)
        else:
            together[name] = torch.stack(parts).sum(0)
    return together


def spoil(inputs: Tensor, lengths: list[int]) -> Tensor:
    """NaN and infinity where nobody may look."""
    spoilt = inputs.clone()
    for row, length in enumerate(lengths):
        spoilt[row, length:] = float("nan") if row % 2 else float("inf")
    return spoilt


def padded_is_alone(case: Case, run: Runner, dtype: torch.dtype) -> None:
    problem = make_problem(case, len(LENGTHS), max(LENGTHS))
    given = problem.to(dtype)._replace(inputs=spoil(problem.inputs, LENGTHS).to(dtype))
    for reverse in (False, True):
        found = solve(given, run, lengths=torch.tensor(LENGTHS), reverse=reverse)
        assert_same(found, alone(problem, LENGTHS, reverse=reverse), TOLERANCES[dtype])
        for row, length in enumerate(LENGTHS):
            assert not found["outputs"][row, length:].any()
            assert not found["gradient of inputs"][row, length:].any()


def empty_rows_keep_the_state(case: Case, run: Runner, dtype: torch.dtype) -> None:
    problem = make_problem(case, 3, 7)
    given = problem.to(dtype)
    for reverse in (False, True):
        found = solve(given, run, lengths=torch.tensor([0, 0, 0], dtype=torch.int32), reverse=reverse)
        assert not found["outputs"].any()
        for (field, start), pull in zip(given.state._asdict().items(), given.end_pull, strict=True):
            assert torch.equal(found[f"last {field}"], start)
            assert torch.equal(found[f"gradient of first {field}"], pull)
        assert all(not found[f"gradient of {name}"].any() for name, _ in given.cell.named_parameters())


def empty_batches_and_sequences(case: Case, run: Runner, dtype: torch.dtype) -> None:
    for batch, steps in ((0, 7), (3, 0), (0, 0)):
        given = make_problem(case, batch, steps).to(dtype)
        for lengths in (None, torch.zeros(batch, dtype=torch.int64)):
            found = solve(given, run, lengths=lengths)
            assert found["outputs"].shape == (batch, steps, given.cell.output_size)
            for field, start in given.state._asdict().items():
                assert torch.equal(found[f"last {field}"], start)


def rows_are_independent(case: Case, run: Runner, dtype: torch.dtype) -> None:
    """A row gives the same among other rows, at another place, with other lengths beside it."""
    first, second = (make_problem(case, 4, 9, seed=seed).to(dtype) for seed in (1, 2))
    second = second._replace(cell=first.cell)
    lengths, others = torch.tensor([9, 4, 0, 6]), torch.tensor([2, 9, 9, 1])
    for reverse in (False, True):
        expected = solve(first, run, lengths=lengths, reverse=reverse)
        for row in range(4):
            place = (row + 1) % 4
            mixed = second._replace(inputs=second.inputs.clone(), pull=second.pull.clone())
            mixed.inputs[place], mixed.pull[place] = first.inputs[row], first.pull[row]
            for parts, own in ((mixed.state, first.state), (mixed.end_pull, first.end_pull)):
                for part, value in zip(parts, own, strict=True):
                    part[place] = value[row]
            mixed_lengths = others.clone()
            mixed_lengths[place] = lengths[row]
            found = solve(mixed, run, lengths=mixed_lengths, reverse=reverse)
            names = [
                name for name in found if name.startswith(("outputs", "last", "gradient of inp", "gradient of fir"))
            ]
            assert_same(
                {name: found[name][place] for name in names},
                {name: expected[name][row] for name in names},
                TOLERANCES[dtype],
            )


class Running(nn.Module):
    """A run as a module, so that ``functional_call`` can put other tensors in the place of the cell's parameters."""

    def __init__(self, cell: Cell, run: Runner) -> None:
        super().__init__()
        self.cell, self.run = cell, run

    def forward(self, inputs: Tensor, state: Any, lengths: Tensor) -> tuple[Tensor, ...]:
        outputs, end = self.run(self.cell, inputs, state, lengths=lengths, reverse=True)
        return (outputs, *end)


def gradients_are_the_differences(case: Case, run: Runner, dtype: torch.dtype) -> None:
    problem = make_problem(case, 3, 3, input_size=2, hidden_size=4)
    running, lengths = Running(problem.cell, run), torch.tensor([3, 2, 0])
    weights = {name: parameter.detach().clone() for name, parameter in running.named_parameters()}

    def function(inputs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        state = type(problem.state)(*rest[: len(problem.state)])
        lent = dict(zip(weights, rest[len(problem.state) :], strict=True))
        return torch.func.functional_call(running, lent, (inputs, state, lengths))

    leaves = [problem.inputs, *problem.state, *weights.values()]
    assert torch.autograd.gradcheck(function, [leaf.requires_grad_() for leaf in leaves])


def by_segments(problem: Problem, reset: Tensor, fresh: Any, reverse: bool) -> dict[str, Tensor]:
    """A batch with resets, by hand: each row cut where it is reset, each piece run by itself."""

    def run(cell: Cell, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        rows, ends = [], []
        for row in range(inputs.shape[0]):
            one = slice(row, row + 1)
            begin = type(state)(*(part[one] for part in state))
            anew = type(state)(*(part[one] for part in fresh))
            cuts = [t for t in range(1, inputs.shape[1]) if reset[row, t]]
            bounds = [0, *cuts, inputs.shape[1]]
            pieces = [inputs[one, a:b] for a, b in pairwise(bounds)]
            if not reverse and reset[row, 0]:
                begin = anew
            outputs: list[Tensor] = []
            for piece in reversed(pieces) if reverse else pieces:
                output, begin_next = reference(cell, piece, begin, reverse=reverse)
                outputs.append(output)
                begin, end = anew, begin_next
            rows.append(torch.cat(outputs[::-1] if reverse else outputs, dim=1))
            ends.append(end)
        return torch.cat(rows), type(state)(*(torch.cat(parts) for parts in zip(*ends, strict=True)))

    return solve(problem, run)


def resets_part_sequences(case: Case, run: Runner, dtype: torch.dtype) -> None:
    problem = make_problem(case, 4, 9)
    fresh = make_problem(case, 4, 1, seed=5).state
    given_fresh = type(fresh)(*(part.to(dtype) for part in fresh))
    reset = torch.zeros(4, 9, dtype=torch.bool)
    reset[0, [3, 4, 8]] = True
    reset[1, 0] = True
    reset[2, [0, 5]] = True  # row 3 is never reset
    for reverse in (False, True):
        found = solve(problem.to(dtype), run, reset=reset, fresh=given_fresh, reverse=reverse)
        assert_same(found, by_segments(problem, reset, fresh, reverse), TOLERANCES[dtype])


def resets_in_the_padding_are_ignored(case: Case, run: Runner, dtype: torch.dtype) -> None:
    problem = make_problem(case, 4, 9)
    lengths = [9, 4, 0, 6]
    reset = torch.zeros(4, 9, dtype=torch.bool)
    reset[0, 5] = reset[1, [2, 4, 7]] = reset[2, [0, 8]] = reset[3, [6, 7]] = True
    for reverse in (False, True):
        found = solve(problem.to(dtype), run, reset=reset, lengths=torch.tensor(lengths), reverse=reverse)
        assert_same(found, alone(problem, lengths, reset=reset, reverse=reverse), TOLERANCES[dtype])


Check = Callable[[Case, Runner, torch.dtype], None]
CHECKS: list[Check] = [
    step_is_unroll,
    chunks_are_the_whole,
    reverse_is_the_mirror,
    padded_is_alone,
    empty_rows_keep_the_state,
    empty_batches_and_sequences,
    rows_are_independent,
]
FLOAT64_CHECKS: list[Check] = [gradients_are_the_differences]
RESET_CHECKS: list[Check] = [resets_part_sequences, resets_in_the_padding_are_ignored]
