"""Random programs: every kind of operation, in any order, on values of odd widths; and random places for them.

Where a program is drawn ``whole``, all its numbers are whole and small enough for float32 to hold them exactly: then
the order of sums does not matter, and any two ways to run it give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from echoic.program import Operand, Operation, Program, Source
from echoic.program.operations import POINTWISE, Array
from echoic.program.plan import Place, Plan
from echoic.program.planning import make_plan

LARGEST = 2.0**20  # of a whole program; sums of a few of these are still exact in float32
NUMBERS = (0.0, 1.0, -1.0, 2.0, -3.0)
# How large the result of a whole program's operation can be, from how large its operands are.
BOUNDS: dict[str, Callable[..., float]] = {
    **dict.fromkeys(("copy", "neg", "abs", "floor", "relu", "max"), lambda a: a),
    **dict.fromkeys(("sign", "lt", "le", "eq", "ne"), lambda *_: 1.0),
    **dict.fromkeys(("add", "sub"), lambda a, b: a + b),
    "mul": lambda a, b: a * b,
    **dict.fromkeys(("maximum", "minimum"), max),
    "where": lambda condition, a, b: max(a, b),
    "fma": lambda a, b, c: a * b + c,
    "sigmoid_grad": lambda a, b: a * b * (1 + b),
    "tanh_grad": lambda a, b: a * (1 + b * b),
    "relu_grad": lambda a, b: a,
}
LAYOUT = ("sum", "max", "dot", "groups", "matmul", "slice", "concat", "broadcast", "take", "cell", "norm")


class Layout(NamedTuple):
    """Where a program's rows come from and go to.

    ports: widths of the memory. sources: where each row source lies. results: where each result is wanted; those that
        are missing are totals.
    """

    ports: list[int]
    sources: dict[str, Place]
    results: dict[str, list[Place]]


@st.composite
def programs(draw: Any, whole: bool = False, most: int = 14, widths: tuple[int, ...] = (1, 2, 3, 7)) -> Program:
    """A program of at most ``most`` drawn operations."""
    return _Drawing(draw, whole, widths).program(most)


class _Drawing:
    def __init__(self, draw: Any, whole: bool, widths: tuple[int, ...]) -> None:
        self.draw, self.whole, self.sizes = draw, whole, st.sampled_from(widths)
        self.sources: list[Source] = []
        self.operations: list[Operation] = []
        self.values: dict[str, tuple[int, float]] = {}  # width, bound
        self.matrices: dict[str, tuple[int, int]] = {}

    def program(self, most: int) -> Program:
        for i in range(self.draw(st.integers(1, 3))):
            self.source(f"x{i}", "row", self.draw(self.sizes))
        for i in range(self.draw(st.integers(0, 2))):
            self.source(f"b{i}", "vector", self.draw(self.sizes))
        for i in range(self.draw(st.integers(0, 2))):
            self.source(f"w{i}", "matrix", self.draw(self.sizes), self.draw(self.sizes))
        kinds = [k for k in POINTWISE if k in BOUNDS or not self.whole]
        for _ in range(self.draw(st.integers(1, most))):
            # sums after matmuls are what plans treat specially: drawn more often
            kind = self.draw(st.sampled_from((*kinds, *LAYOUT, *LAYOUT, "add", "add", "mul")))
            getattr(self, kind, lambda kind=kind: self.pointwise(kind))()
        names = self.draw(st.lists(st.sampled_from(list(self.values)), min_size=1, max_size=5))
        last = self.operations[-1].name if self.operations else names[0]
        results = tuple((f"r{i}", name) for i, name in enumerate([*names, last]))
        return Program(tuple(self.sources), tuple(self.operations), results)

    def source(self, name: str, kind: str, *shape: int) -> None:
        self.sources.append(Source(name, kind, shape))
        if kind == "matrix":
            self.matrices[name] = (shape[0], shape[1])
        else:
            self.values[name] = (shape[0], 3.0)

    def emit(self, kind: str, operands: tuple[Operand, ...], bound: float, width: int, *attributes: int) -> str:
        name = f"v{len(self.operations)}"
        self.operations.append(Operation(name, kind, operands, attributes))
        self.values[name] = (width, bound)
        return name

    def value(self, width: int | None = None) -> str:
        return self.draw(st.sampled_from([n for n, (w, _) in self.values.items() if width in (None, w)]))

    def pointwise(self, kind: str) -> None:
        first = self.value()
        width = self.values[first][0]
        operands: list[Operand] = [first]
        for _ in range((POINTWISE[kind].operands or 1) - 1):
            operands.append(self.draw(st.sampled_from(NUMBERS)) if self.draw(st.booleans()) else self.value(width))
        operands = self.draw(st.permutations(operands))
        bounds = [abs(o) if isinstance(o, float) else self.values[o][1] for o in operands]
        bound = BOUNDS[kind](*bounds) if self.whole else 0.0
        if bound > LARGEST:
            kind, operands, bound = "sign", [first], 1.0
        self.emit(kind, tuple(operands), bound, width)

    def sum(self) -> None:
        value = self.value()
        width, bound = self.values[value]
        self.emit("sum" if width * bound <= LARGEST else "max", (value,), min(width * bound, LARGEST), 1)

    def max(self) -> None:
        value = self.value()
        self.emit("max", (value,), self.values[value][1], 1)

    def dot(self) -> None:
        first = self.value()
        width, bound = self.values[first]
        second = self.draw(st.sampled_from([first, self.value(width)]))
        bound *= width * self.values[second][1]
        if self.whole and bound > LARGEST:
            return self.max()
        self.emit("dot", (first, second), bound, 1)
        return None

    def norm(self) -> None:
        """Columns made of rows, the sum of a product among them, and what rows become by them, as layer norm has it."""
        value = self.value()
        width, bound = self.values[value]
        other = self.draw(st.sampled_from([value, self.value(width)]))
        most = width * bound * self.values[other][1]
        if bound * most > LARGEST:
            return self.sum()
        product = self.emit("mul", (value, other), most / width, width)
        column = self.emit("sum", (product,), most, 1)
        rows = self.emit("broadcast", (column,), most, width, width)
        kind = self.draw(st.sampled_from(("add", "sub", "mul", "fma", "maximum")))
        operands = (value, rows) if self.draw(st.booleans()) else (rows, value)
        self.emit(kind, (*operands, value) if kind == "fma" else operands, BOUNDS["fma"](bound, most, bound), width)
        return None

    def slice(self) -> None:
        value = self.value()
        width, bound = self.values[value]
        start = self.draw(st.integers(0, width - 1))
        stop = self.draw(st.integers(start + 1, width))
        self.emit("slice", (value,), bound, stop - start, start, stop)

    def concat(self) -> None:
        parts = tuple(self.draw(st.lists(st.sampled_from(list(self.values)), min_size=1, max_size=3)))
        width = sum(self.values[part][0] for part in parts)
        if width <= 700:
            self.emit("concat", parts, max(self.values[part][1] for part in parts), width)

    def broadcast(self) -> None:
        columns = [n for n, (w, _) in self.values.items() if w == 1]
        operand = self.draw(st.sampled_from([*columns, *NUMBERS]))
        width = self.draw(self.sizes)
        self.emit("broadcast", (operand,), abs(operand) if isinstance(operand, float) else self.values[operand][1],
                  width, width)  # fmt: skip

    def take(self) -> None:
        value = self.value()
        width, bound = self.values[value]
        offset = low = high = self.draw(st.integers(0, width - 1))
        form, total = [], 1
        for _ in range(self.draw(st.integers(1, 4))):
            size, stride = self.draw(st.integers(1, 5)), self.draw(st.integers(-3, 3))
            ends = low + min(stride * (size - 1), 0), high + max(stride * (size - 1), 0)
            if ends[0] >= 0 and ends[1] < width and total * size <= 200:
                low, high, total = *ends, total * size
                form += [size, stride]
        self.emit("take", (value,), bound, total, offset, *(form or [1, 0]))

    def groups(self) -> None:
        """Reductions of a part of the columns."""
        value = self.value()
        width, bound = self.values[value]
        size = self.draw(st.sampled_from([n for n in range(1, width + 1) if width % n == 0]))
        inner = self.draw(st.sampled_from([n for n in range(1, width // size + 1) if width // size % n == 0]))
        kind = self.draw(st.sampled_from(("sum", "max", "dot")))
        grown = {"sum": size * bound, "max": bound, "dot": size * bound * bound}[kind]
        if self.whole and grown > LARGEST:
            kind, grown = "max", bound
        operands = (value, self.value(width)) if kind == "dot" and not self.whole else (value,) * (1 + (kind == "dot"))
        self.emit(kind, operands, grown, width // size, size, inner)

    def matmul(self) -> None:
        if not self.matrices:
            return self.broadcast()
        matrix = self.draw(st.sampled_from(list(self.matrices)))
        rows, columns = self.matrices[matrix]
        fitting = [n for n, (w, b) in self.values.items() if w % rows == 0 and 3 * rows * b <= LARGEST]
        if not fitting:
            wide = rows * self.draw(st.integers(1, 3))
            fitting = [self.emit("broadcast", (2.0,), 2.0, wide, wide)]
        value = self.draw(st.sampled_from(fitting))
        groups = self.values[value][0] // rows
        of_groups = (groups,) if groups > 1 or self.draw(st.booleans()) else ()
        self.emit("matmul", (value, matrix), 3 * rows * self.values[value][1], groups * columns, *of_groups)
        return None

    def cell(self) -> None:
        """A matmul with sums after it, as a step has it: what a plan makes one stage of."""
        self.matmul()
        value = self.operations[-1].name
        for _ in range(self.draw(st.integers(1, 3))):
            width, bound = self.values[value]
            other = self.value(width)
            if bound + self.values[other][1] <= LARGEST:
                operands = (value, other) if self.draw(st.booleans()) else (other, value)
                value = self.emit("add", operands, bound + self.values[other][1], width)


def numbers_for(program: Program, seed: int, batch: int, whole: bool = False) -> dict[str, Array]:
    """Numbers for every source of a program, in float64; whole ones from -3 to 3."""
    random = np.random.default_rng(seed)

    def draw(*shape: int) -> Array:
        return random.integers(-3, 4, shape).astype(float) if whole else random.standard_normal(shape)

    return {s.name: draw(batch, *s.shape) if s.kind == "row" else draw(*s.shape) for s in program.sources}


@st.composite
def layouts(draw: Any, program: Program) -> Layout:
    """Sources side by side in one port or apart; each result a total or at one or two places, some side by side, with
    gaps; at least one at a place."""
    ports: list[int] = []

    def places(sizes: list[int]) -> list[Place]:
        if draw(st.booleans()):
            ports.extend(sizes)
            return [Place(len(ports) - len(sizes) + i, 0) for i in range(len(sizes))]
        gap, found, at = draw(st.integers(0, 2)), [], 0
        for size in sizes:
            found.append(Place(len(ports), at + gap))
            at += size + gap
        ports.append(at + 1)
        return found

    rows = [s for s in program.sources if s.kind == "row"]
    sources = {s.name: p for s, p in zip(rows, places([s.shape[0] for s in rows]), strict=True)} if rows else {}
    wanted = [(n, v) for i, (n, v) in enumerate(program.results) for _ in range(draw(st.integers(i == 0, 2)))]
    results: dict[str, list[Place]] = {}
    for (name, _), where in zip(wanted, places([program.widths[v] for _, v in wanted]), strict=True):
        results.setdefault(name, []).append(where)
    return Layout(ports, sources, results)


def planned(program: Program, layout: Layout) -> Plan:
    """The plan of a program with a layout."""
    return make_plan(program, layout.ports, layout.sources, layout.results)
