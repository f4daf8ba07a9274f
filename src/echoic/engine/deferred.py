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
    turned: whether the recording has the array's transpose: states stand at the right.
    groups: that each row of the arrays consists of, each a row of the sum; widths are those of a group.
    """

    left: str
    left_width: int
    right: str
    right_width: int
    state: int
    outer: int
    columns: int
    turned: bool = False
    groups: int = 1

    @property
    def multiplications(self) -> int:
        """For one row."""
        return self.groups * self.left_width * self.right_width


def plan_sums(recording: Recording, programs: StepPrograms, totals: Mapping[str, int]) -> tuple[DeferredSum, ...]:
    """The sums made at the end: all but totals. That of an array's columns goes along with another of the array."""
    widths = recording.builder.widths
    fields = [f"state.{field}" for field in recording.fields]
    pairs = list(zip(recording.deferred, programs.operands, strict=True))
    alone = {names[0]: i for i, (kind, names) in enumerate(pairs) if not isinstance(kind, Outer)}  # columns
    found = []
    for i, (kind, names) in enumerate(pairs):
        if isinstance(kind, Outer):
            sides = [(names[0], widths[kind.left] // kind.groups), (names[1], widths[kind.right] // kind.groups)]
            turned = names[0] in fields
            (left, left_width), (right, right_width) = reversed(sides) if turned else sides
            state = fields.index(right) if right in fields else -1
            columns = alone.pop(left, -1) if kind.groups == 1 else -1
            found.append(DeferredSum(left, left_width, right, right_width, state, i, columns, turned, kind.groups))
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
