"""Laying out a program for the engine.

Pointwise operations of one width that follow each other become one stage, run tile by tile; what only such a stage
needs lives in registers (tiles in the innermost cache), everything else in memory. Slices and concatenations are not
done: they are places.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from echoic.program.fusion import fused, use_counts
from echoic.program.operations import BY_COLUMN, POINTWISE, REDUCTIONS, SPREAD
from echoic.program.phases import Phase, phases
from echoic.program.plan import (
    Constant,
    Form,
    Matmul,
    Micro,
    Place,
    Plan,
    Pointwise,
    Reduce,
    Register,
    Total,
    Vector,
    Where,
)
from echoic.program.products import Product, absorbed_sums
from echoic.program.program import Operand, Operation, Program


def make_plan(
    program: Program,
    ports: list[int],
    sources: dict[str, Place],
    results: dict[str, list[Place]],
    timeless: Collection[str] = (),
) -> Plan:
    """Lay out a program.

    Args:
        program: what to run.
        ports: widths of the memory given from outside.
        sources: where each row source is read.
        results: where each result is written; results of one value may share a place. A result without a place is only
            summed, over all rows and steps: a total, in the order of the program's results.
        timeless: sources and results that lie in memory for all steps at once; totals are, too.
    """
    program = _with_vectors_as_rows(fused(program))
    vectors = [s.name for s in program.sources if s.kind == "vector"]
    sizes = [rows * columns for rows, columns in program.matrices.values()]
    totals = [name for name, _ in program.results if name not in results]
    widths = [program.widths[value] for name, value in program.results if name in totals]
    plan = Plan(list(ports), len(ports), vectors, list(program.matrices), sizes, widths)
    return _Layout(program, plan, sources, results, phases(program, {*timeless, *totals})).plan


def _with_vectors_as_rows(program: Program) -> Program:
    """A vector has no rows in memory: where an operation needs them, it is copied to every row first."""
    copies: dict[str, Operation] = {}
    operations: list[Operation] = []
    for operation in program.operations:
        if operation.kind in REDUCTIONS or operation.kind in ("matmul", "slice"):
            for value in program.vectors.intersection(operation.operands):
                copies.setdefault(value, Operation(f"row.of.{len(copies)}", "copy", (value,)))
                operands = tuple(copies[value].name if o == value else o for o in operation.operands)
                operation = replace(operation, operands=operands)
        operations.append(operation)
    return Program(program.sources, (*copies.values(), *operations), program.results) if copies else program


class _Layout:
    def __init__(
        self,
        program: Program,
        plan: Plan,
        sources: dict[str, Place],
        results: dict[str, list[Place]],
        phase: dict[str, Phase],
    ) -> None:
        self.program, self.plan, self.widths, self.phase = program, plan, program.widths, phase
        self.made = {operation.name: operation for operation in program.operations}
        self.homes: dict[str, Place] = dict(sources)
        self.copies: list[tuple[Operand, Place, int, str]] = []  # what is written, where, width, name of the copy
        self.totals: dict[str, str] = {}  # what is summed, by the name of the summing
        self.products = absorbed_sums(program, phase)
        self.spread = self._spread_where_read()
        self._place_results(results)
        self._place_concatenations()
        self._stages()

    # where values live

    def _place_results(self, results: dict[str, list[Place]]) -> None:
        for name, value in self.program.results:
            for place in results.get(name, ()):
                self._put(value, place)
            if name not in results:
                self.totals[f"total.{len(self.totals)}"] = value

    def _place_concatenations(self) -> None:
        for operation in reversed(self.program.operations):
            if operation.kind == "concat":
                if operation.name not in self.homes:
                    self.homes[operation.name] = self._scratch(self.widths[operation.name])
                home = self.homes[operation.name]
                offset = home.offset
                for part in operation.operands:
                    assert isinstance(part, str)
                    self._put(part, Place(home.port, offset), self.phase[operation.name])
                    offset += self.widths[part]

    def _put(self, value: str, place: Place, wanted: Phase = Phase.WITHIN) -> None:
        """Make a value appear at a place: let it live there, or copy it, ahead if it is wanted then."""
        made = self.made.get(value)
        if made is not None and made.kind != "slice" and value not in self.homes:
            self.homes[value] = place
        elif self.homes.get(value) != place:
            name = f"copy.{len(self.copies)}"
            self.copies.append((value, place, self.widths[value], name))
            self.phase[name] = wanted if wanted == Phase.AHEAD else self._phase_after(value)

    def _scratch(self, width: int) -> Place:
        self.plan.ports.append(width)
        return Place(len(self.plan.ports) - 1, 0)

    def _root(self, value: str) -> tuple[str, int]:
        """What a slice was cut from, and at which column."""
        made, offset = self.made.get(value), 0
        while made is not None and made.kind == "slice":
            offset += made.attributes[0]
            value = str(made.operands[0])
            made = self.made.get(value)
        return value, offset

    def _home(self, value: str) -> Place:
        root, offset = self._root(value)
        if root not in self.homes:
            self.homes[root] = self._scratch(self.widths[root])
        home = self.homes[root]
        return Place(home.port, home.offset + offset)

    # what is done when

    def _spread_where_read(self) -> set[str]:
        """What pointwise operations alone read of that kind: each stage makes it anew, in a tile."""
        found = {operation.name for operation in self.program.operations if operation.kind in SPREAD}
        found -= {value for _, value in self.program.results}
        for operation in self.program.operations:
            apart = operation.name in self.products.inside or operation.kind in SPREAD
            if apart or not self._pointwise(operation):
                found.difference_update(o for o in operation.operands if isinstance(o, str))
        return found

    def _stages(self) -> None:
        work: dict[str, Operation] = {}
        for operation in self.program.operations:
            inside = operation.name in self.products.inside or operation.name in self.spread
            if not inside and operation.kind not in ("slice", "concat"):
                work[operation.name] = operation
        for value, _, width, name in self.copies:
            work[name] = Operation(name, "copy", (value,), (width,))
        self._sum_totals(work)
        waits = {name: self._needs(operation) for name, operation in work.items()}
        done: set[str] = set()
        stages: list[list[Operation]] = []
        for phase in Phase:
            now = {name: operation for name, operation in work.items() if self.phase[name] == phase}
            while not done.issuperset(now):
                ready = [n for n in now if n not in done and waits[n] <= done]
                whole = [n for n in ready if not self._pointwise(now[n])]
                if whole:  # first: the more of them are done, the more pointwise operations can go together
                    group = [next((n for n in whole if now[n].kind in REDUCTIONS), whole[0])]
                else:
                    group = max((self._group(w, now, waits, done) for w in self._widths_of(ready, now)), key=len)
                stages.append([now[n] for n in group])
                done.update(group)
        self._emit(stages)

    def _sum_totals(self, work: dict[str, Operation]) -> None:
        """What adds to totals: a value, or the factors of a product that nobody else reads."""
        uses = use_counts(self.program)
        for name, value in self.totals.items():
            made, width = self.made.get(value), (self.widths[value],)
            if made is not None and made.kind == "mul" and uses[value] == 1:
                work[name] = replace(made, name=name, kind="fma", attributes=width)
                del work[value]
            else:
                work[name] = Operation(name, "add", (value,), width)
            self.phase[name] = self._phase_after(value)

    def _phase_after(self, value: Operand) -> Phase:
        """When a value can be copied or summed."""
        behind = isinstance(value, str) and self.phase.get(self._root(value)[0]) == Phase.BEHIND
        return Phase.BEHIND if behind else Phase.WITHIN

    def _width(self, operation: Operation) -> int:
        return operation.attributes[0] if operation.name not in self.widths else self.widths[operation.name]

    def _pointwise(self, operation: Operation) -> bool:
        tiled = operation.kind in POINTWISE or operation.kind in SPREAD
        return tiled and operation.name not in self.products.by_result

    def _widths_of(self, names: list[str], work: dict[str, Operation]) -> set[int]:
        return {self._width(work[n]) for n in names if self._pointwise(work[n])}

    def _group(self, width: int, work: dict[str, Operation], waits: dict[str, set[str]], done: set[str]) -> list[str]:
        """All pointwise operations of a width that can follow each other now."""
        group: list[str] = []
        inside = set(done)
        for name, operation in work.items():
            if name not in done and self._pointwise(operation) and self._width(operation) == width:
                # what is spread must be whole in memory first; a copy of a slice reads other columns
                fresh = waits[name] - done
                apart = operation.kind in SPREAD or any(
                    isinstance(o, str) and (o in self.spread or self._root(o)[0] != o) and self._makers(o) & fresh
                    for o in operation.operands
                )
                if fresh <= inside and not (apart and fresh):
                    group.append(name)
                    inside.add(name)
        return group

    def _needs(self, operation: Operation) -> set[str]:
        """The work that must be done before an operation."""
        product = self.products.by_result.get(operation.name)
        operands = product.operands if product else operation.operands
        return {name for operand in operands if isinstance(operand, str) for name in self._makers(operand)}

    def _makers(self, value: str) -> set[str]:
        root, _ = self._root(value)
        made = self.made.get(root)
        if made is None:
            return set()
        if root in self.spread:
            return {name for operand in made.operands if isinstance(operand, str) for name in self._makers(operand)}
        if made.kind != "concat":
            return {root}
        makers: set[str] = set()
        home = self.homes[root]
        for part in made.operands:
            assert isinstance(part, str)
            makers |= self._makers(part)
        end = home.offset + self.widths[root]
        makers |= {n for _, place, _, n in self.copies if place.port == home.port and home.offset <= place.offset < end}
        return makers

    # the stages as the engine takes them

    def _emit(self, stages: list[list[Operation]]) -> None:
        stage_of = {operation.name: i for i, stage in enumerate(stages) for operation in stage}
        stages = [self._with_spread(stage) for stage in stages]
        users: dict[str, set[int]] = {}
        for operation in (o for stage in stages for o in stage):
            product = self.products.by_result.get(operation.name)
            for operand in product.operands if product else operation.operands:
                if isinstance(operand, str):
                    root, offset = self._root(operand)
                    apart = product is not None or not self._pointwise(operation) or operand != root or offset
                    users.setdefault(root, set()).add(-1 if apart or operation.kind in SPREAD else
                                                      stage_of[operation.name])  # fmt: skip
        for name, where in users.items():
            if name in stage_of and name not in self.homes and where != {stage_of[name]}:
                self.homes[name] = self._scratch(self.widths[name])
        copy_places = {name: place for _, place, _, name in self.copies}
        self.homes.update(copy_places)
        for stage in stages:
            first, phase = stage[0], self.phase[stage[-1].name]
            if self._pointwise(first):
                self.plan.stages.append(self._pointwise_stage(stage))
            elif first.name in self.products.by_result:
                self.plan.stages.append(self._matmul_stage(self.products.by_result[first.name]))
            else:
                value, *others = (str(operand) for operand in first.operands)
                other = self._home(others[0]) if others else None
                place, target = self._home(value), self._home(first.name)
                size, inner = first.attributes or (self.widths[value], 1)
                self.plan.stages.append(
                    Reduce(first.kind, place, other, target, self.widths[value], size, inner, phase)
                )

    def _with_spread(self, stage: list[Operation]) -> list[Operation]:
        """A stage with the broadcasts that it makes for itself."""
        found: dict[str, Operation] = {}
        for operation in stage:
            if self._pointwise(operation):
                found.update({o: self.made[o] for o in operation.operands if isinstance(o, str) and o in self.spread})
            found[operation.name] = operation
        return list(found.values())

    def _by_column(self, stage: list[Operation]) -> list[Operation]:
        """A stage whose operations read columns, where they can, instead of the broadcasts that are made of them."""
        found: list[Operation] = []
        for operation in stage:
            # Factors and summands may change places: the second one is the column
            places = {"sub": (1,)}.get(operation.kind, (1, 0))
            can = operation.kind in BY_COLUMN and operation.name not in self.totals
            chosen = next((i for i in places if can and self._is_column(operation.operands[i])), None)
            if chosen is not None:
                operands = list(operation.operands)
                column = self.made[str(operands.pop(chosen))].operands[0]
                operands.insert(1, column)
                operation = replace(operation, kind=f"{operation.kind}_column", operands=tuple(operands))
            found.append(operation)
        rows = {operand for operation in found for operand in operation.operands}
        return [each for each in found if each.name not in self.spread or each.name in rows]

    def _is_column(self, value: Operand) -> bool:
        return value in self.spread and self.made[str(value)].kind == "broadcast"

    def _pointwise_stage(self, stage: list[Operation]) -> Pointwise:
        stage = self._by_column(stage)
        last = {o: i for i, operation in enumerate(stage) for o in operation.operands if isinstance(o, str)}
        registers: dict[str, Register] = {}
        free: list[int] = []
        count = 0
        micros: list[Micro] = []
        for i, operation in enumerate(stage):
            operands = tuple(self._where(o, registers) for o in operation.operands)
            if operation.kind == "take":
                operands = (*operands, self._form(operation.attributes))
            for operand in {o for o in operation.operands if isinstance(o, str)}:
                if operand in registers and last[operand] == i:
                    free.append(registers[operand].index)
            if operation.name in self.totals:
                target: Where = Total(list(self.totals).index(operation.name))
                operands = (*operands, target)
            elif operation.name in self.homes:
                target = self.homes[operation.name]
            else:
                if not free:
                    free.append(count)
                    count += 1
                target = registers[operation.name] = Register(free.pop())
                if operation.name not in last:
                    free.append(target.index)
            micros.append(Micro(operation.kind, target, operands))
        return Pointwise(self._width(stage[-1]), tuple(micros), self.phase[stage[-1].name])

    def _where(self, operand: Operand, registers: dict[str, Register]) -> Where:
        if isinstance(operand, float | int):
            number = float(operand)
            written = [repr(constant) for constant in self.plan.constants]  # 0.0 and -0.0 are two
            if repr(number) not in written:
                self.plan.constants.append(number)
                written.append(repr(number))
            return Constant(written.index(repr(number)))
        if operand in registers:
            return registers[operand]
        if operand in self.program.vectors:
            return Vector(self.plan.vectors.index(operand))
        return self._home(operand)

    def _form(self, form: tuple[int, ...]) -> Form:
        if form not in self.plan.forms:
            self.plan.forms.append(form)
        return Form(self.plan.forms.index(form))

    def _matmul_stage(self, product: Product) -> Matmul:
        bias = None if product.bias is None else self.plan.vectors.index(product.bias)
        added = None if product.added is None else self._home(product.added)
        matrix = self.plan.matrices.index(product.matrix)
        source, target = self._home(product.source), self._home(product.result)
        return Matmul(matrix, source, target, added, bias, product.groups, self.phase[product.result])
