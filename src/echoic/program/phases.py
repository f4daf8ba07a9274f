"""When an operation of a step can be done: for many steps at once ahead of the recurrence, in its turn, or behind it.

A matmul that no state goes into (the projection of the inputs) need not wait for the recurrence, and one that no state
comes from (the gradient of the inputs) need not be waited for: done for many steps at once, it reads its weights once.
So it is with whatever else costs much; what is cheap stays beside the operations that it feeds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import IntEnum

from echoic.program.operations import CHEAP, REDUCTIONS, SPREAD
from echoic.program.program import Operation, Program, cut_from


class Phase(IntEnum):
    """In this order."""

    AHEAD = 0
    WITHIN = 1
    BEHIND = 2


def phases(program: Program, timeless: Collection[str]) -> dict[str, Phase]:
    """The phase of every operation.

    Args:
        program: a step.
        timeless: the row sources and results that lie in memory for all steps at once; the others go from step to step.
    """
    return _Phases(program, timeless).found


class _Phases:
    def __init__(self, program: Program, timeless: Collection[str]) -> None:
        self.operations = program.operations
        self.made = {operation.name: operation for operation in program.operations}
        held = {s.name for s in program.sources if s.kind == "row" and s.name not in timeless}
        carried = self._parts([value for name, value in program.results if name not in timeless])
        self.state = held | carried  # values that lie where only one step has room
        after = self._reached(self.state)
        before = self._reaching(carried)
        self.found = dict.fromkeys(self.made, Phase.WITHIN)
        costly = [o.name for o in self.operations if o.kind not in CHEAP]
        for name in self._reaching(n for n in costly if n not in after) & set(self.made):
            self.found[name] = Phase.AHEAD
        self._sums_ahead(after)
        for name in (n for n in costly if self.made[n].kind == "matmul" or self.made[n].kind in REDUCTIONS):
            rest = self._reached([name])
            if name not in before and self.found[name] == Phase.WITHIN and not any(map(self._reads_state, rest)):
                self.found.update(dict.fromkeys(rest, Phase.BEHIND))

    def _operands(self, name: str) -> list[str]:
        operation = self.made.get(name)
        return [] if operation is None else [o for o in operation.operands if isinstance(o, str)]

    def _parts(self, values: list[str]) -> set[str]:
        """Values with the parts that they are put together from: they lie in one place."""
        found: set[str] = set()
        while values:
            value = values.pop()
            found.add(value)
            if value in self.made and self.made[value].kind in ("concat", "slice"):
                values += self._operands(value)
        return found

    def _reached(self, values: Collection[str]) -> set[str]:
        """The values, and all that is made from them."""
        found = set(values)
        for operation in self.operations:
            if found.intersection(self._operands(operation.name)):
                found.add(operation.name)
        return found

    def _reaching(self, values: Iterable[str]) -> set[str]:
        """The values, and all that they are made from."""
        open_ = list(values)
        found: set[str] = set()
        while open_:
            value = open_.pop()
            if value not in found:
                found.add(value)
                open_ += self._operands(value)
        return found

    def _reads_state(self, name: str) -> bool:
        """Where it lies, or where what is made anew of it is read."""
        read = {cut_from(operand, self.made, {"slice", *SPREAD}) for operand in self._operands(name)}
        return not self.state.isdisjoint(read)

    def _sums_ahead(self, after: set[str]) -> None:
        """What is only added to a product belongs to it."""
        for operation in self.operations:
            if operation.kind == "add" and operation.name not in after and self._sums_product(operation):
                for name in self._reaching([operation.name]) & set(self.made):
                    self.found[name] = Phase.AHEAD

    def _sums_product(self, operation: Operation) -> bool:
        return any(
            self.found.get(o) == Phase.AHEAD and self.made[o].kind in ("matmul", "add")
            for o in self._operands(operation.name)
        )
