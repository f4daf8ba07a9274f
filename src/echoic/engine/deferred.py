"""Sums over all rows and steps of what the loop kept, which the engine makes at the end: gradients of parameters."""

from __future__ import annotations

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


def plan_sums(recording: Recording, programs: StepPrograms) -> tuple[DeferredSum, ...]:
    """The deferred sums of a recording; that of an array's columns goes along with another of the same array."""
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
        found.append(DeferredSum(left, widths[recording.deferred[i][0]], "", 0, -1, -1, i))
    return tuple(found)


def memory_for_sums(
    plan: tuple[DeferredSum, ...], count: int, arrays: dict[str, Tensor], rows: int
) -> tuple[list[Tensor], list[tuple[int, ...]]]:
    """Memory for every deferred sum, and how the engine is to fill it (``echoic_sum``).

    Args:
        plan: the sums; count: how many of the recording's they are.
        arrays: their operands by name, [N, W], contiguous.
        rows: N; of no rows the sums are zero.
    """
    like = arrays["grad.output"]
    make = like.new_empty if rows else like.new_zeros
    totals: list[Tensor] = [like] * count
    sums = []
    for left, left_width, right, right_width, state, outer, columns in plan:
        of_outer = of_columns = 0
        if outer >= 0:
            totals[outer] = make(left_width, right_width)
            of_outer = totals[outer].data_ptr()
        if columns >= 0:
            totals[columns] = make(left_width)
            of_columns = totals[columns].data_ptr()
        at_right = arrays[right].data_ptr() if right and state < 0 else 0
        sums.append((arrays[left].data_ptr(), left_width, at_right, right_width, state, of_outer, of_columns))
    return totals, sums
