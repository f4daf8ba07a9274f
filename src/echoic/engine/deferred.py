"""Sums over all rows and steps, gradients of parameters: of what the loop kept for the end, or made in the loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

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
