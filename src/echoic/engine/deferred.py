"""Sums over all rows and steps, gradients of parameters: of what the loop kept for the end, or made in the loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from echoic.engine.sorting import Outer
from echoic.engine.step_programs import StepPrograms
from echoic.engine.trace import Recording


class DeferredSum(NamedTuple):
    """What the engine adds up over the rows of an array in one go.

    left, right: names of the arrays; right is "" where only the columns of the left one are summed.
    state: the field of the state that stands at the right, or -1.
    outer, columns: which of the recording's deferred sums this is, with an array and of columns alone, or -1.
    """

    left: str
    left_width: int
    right: str
    right_width: int
    state: int
    outer: int
    columns: int


def plan_sums(recording: Recording, programs: StepPrograms, totals: Mapping[str, int]) -> tuple[DeferredSum, ...]:
    """The sums made at the end: all but totals. That of an array's columns goes along with another of the array."""
    widths = recording.builder.widths
    fields = [f"state.{field}" for field in recording.fields]
    pairs = list(zip(recording.deferred, programs.operands, strict=True))
    alone = {names[0]: i for i, (kind, names) in enumerate(pairs) if not isinstance(kind, Outer)}  # columns
    found = []
    for i, (kind, names) in enumerate(pairs):
        if isinstance(kind, Outer):
            left, right = names
            state = fields.index(right) if right in fields else -1
            sizes = widths[kind.left], widths[kind.right]
            found.append(DeferredSum(left, sizes[0], right, sizes[1], state, i, alone.pop(left, -1)))
    for left, i in alone.items():
        if left not in totals:
            found.append(DeferredSum(left, widths[recording.deferred[i][0]], "", 0, -1, -1, i))
    return tuple(found)


def plan_totals(recording: Recording, programs: StepPrograms) -> dict[str, int]:
    """The sums made in the loop, as no other needs the array: of which result of the backward, to which sum."""
    pairs = list(zip(recording.deferred, programs.operands, strict=True))
    arrays = {name for kind, names in pairs if isinstance(kind, Outer) for name in names}
    results = {name for name, _ in programs.backward.results}
    return {names[0]: i for i, (_, names) in enumerate(pairs) if names[0] in results - arrays}


class Sums(NamedTuple):
    """What the engine is to sum. at_end: ``echoic_sum`` each. totals: addresses, in the order of the plan's."""

    at_end: list[tuple[int, ...]]
    totals: list[int]


def memory_for_sums(
    at_end: Sequence[DeferredSum], totals: Sequence[tuple[int, int]], arrays: dict[str, Tensor], rows: int
) -> tuple[list[Tensor], Sums]:
    """Memory for every deferred sum of a recording, in its order, and how the engine is to fill it.

    Args:
        at_end: the sums of arrays. totals: which of the sums is made in the loop, and its width.
        arrays: operands by name, [N, W], contiguous.
        rows: N; of no rows the sums are zero.
    """
    like = arrays["grad.output"]
    make = like.new_empty if rows else like.new_zeros
    found: dict[int, Tensor] = {-1: like.new_empty(0)}
    of_arrays = []
    for left, left_width, right, right_width, state, outer, columns in at_end:
        if outer >= 0:
            found[outer] = make(left_width, right_width)
        if columns >= 0:
            found[columns] = make(left_width)
        at_right = arrays[right].data_ptr() if right and state < 0 else 0
        to = (found[outer].data_ptr(), found[columns].data_ptr())
        of_arrays.append((arrays[left].data_ptr(), left_width, at_right, right_width, state, *to))
    for which, width in totals:
        found[which] = make(width)
    sums = Sums(of_arrays, [found[which].data_ptr() for which, _ in totals])
    return [found[which] for which in range(len(found) - 1)], sums
