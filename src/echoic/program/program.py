"""A step as data: sources, operations in order, results. It is checked when it is made and holds no code."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

from echoic.errors import ProgramError
from echoic.program.operations import KINDS, POINTWISE, REDUCTIONS

Operand = str | float  # the name of a value, or a number

MOST_DIMENSIONS = 4  # of what is taken
MAX_SOURCES, MAX_OPERATIONS, MAX_OPERANDS, MAX_WIDTH = 1024, 8192, 256, 2**24
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,63}")
_DIMENSIONS = {"row": 1, "vector": 1, "matrix": 2}


@dataclass(frozen=True)
class Source:
    """What comes from outside.

    kind: "row" for a value [B, W], "vector" for a parameter [N], "matrix" for a parameter [K, N].
    shape: (W,), (N,) or (K, N).
    """

    name: str
    kind: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Operation:
    """One operation; ``name`` is the value it makes."""

    name: str
    kind: str
    operands: tuple[Operand, ...]
    attributes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Program:
    """A list of operations on row values.

    sources: what comes from outside: projected input, state, parameters.
    operations: each uses sources and values made before it.
    results: result name to value name.

    Raises:
        ProgramError: unknown kinds, names used before they exist, widths that do not fit, too much of anything.
    """

    sources: tuple[Source, ...]
    operations: tuple[Operation, ...]
    results: tuple[tuple[str, str], ...]

    def __post_init__(self) -> None:
        _ = self.widths

    @cached_property
    def widths(self) -> Mapping[str, int]:
        """Features of every row value by name; vectors count as row values, matrices are left out."""
        return _check(self)

    @cached_property
    def matrices(self) -> Mapping[str, tuple[int, int]]:
        """[K, N] of every matrix by name."""
        return {s.name: (s.shape[0], s.shape[1]) for s in self.sources if s.kind == "matrix"}

    @cached_property
    def vectors(self) -> frozenset[str]:
        """Names of the parameters that are the same for every row."""
        return frozenset(s.name for s in self.sources if s.kind == "vector")

    def keeping(self, names: list[str]) -> Program:
        """The same with the named results alone, without what they do not need."""
        results = tuple((name, value) for name, value in self.results if name in names)
        needed = {value for _, value in results}
        kept: list[Operation] = []
        for operation in reversed(self.operations):
            if operation.name in needed:
                kept.append(operation)
                needed.update(o for o in operation.operands if isinstance(o, str))
        sources = tuple(source for source in self.sources if source.name in needed)
        return Program(sources, tuple(reversed(kept)), results)


def cut_from(value: Operand, made: Mapping[str, Operation], kinds: Collection[str] = ("slice",)) -> Operand:
    """The value that another is a slice of, or a slice of a slice, or made of by such kinds of operations; itself if it
    is none. made: operations by name."""
    while isinstance(value, str) and value in made and made[value].kind in kinds:
        value = made[value].operands[0]
    return value


def _check(program: Program) -> dict[str, int]:
    _at_most(len(program.sources), MAX_SOURCES, "sources")
    _at_most(len(program.operations), MAX_OPERATIONS, "operations")
    _at_most(len(program.results), MAX_SOURCES, "results")
    widths: dict[str, int] = {}
    matrices: dict[str, tuple[int, int]] = {}
    for source in program.sources:
        _check_name(source.name, widths, matrices)
        if source.kind not in _DIMENSIONS or len(source.shape) != _DIMENSIONS[source.kind]:
            raise ProgramError(f"source {source.name}: found {source.kind} {list(source.shape)}, expected row [W], "
                               "vector [N] or matrix [K, N].")  # fmt: skip
        for size in source.shape:
            _check_width(source.name, size)
        if source.kind == "matrix":
            matrices[source.name] = (source.shape[0], source.shape[1])
        else:
            widths[source.name] = source.shape[0]
    for operation in program.operations:
        _check_name(operation.name, widths, matrices)
        widths[operation.name] = _width(operation, widths, matrices)
        _check_width(operation.name, widths[operation.name])
    seen: set[str] = set()
    for name, value in program.results:
        if not _NAME.fullmatch(name) or name in seen:
            raise ProgramError(f"result {name!r}: found a name that is no identifier or stands twice.")
        seen.add(name)
        if value not in widths:
            raise ProgramError(f"result {name}: there is no row value {value!r}.")
    return widths


def _width(operation: Operation, widths: Mapping[str, int], matrices: Mapping[str, tuple[int, int]]) -> int:
    """The width of what an operation makes."""
    where = f"operation {operation.name}"
    kind = KINDS.get(operation.kind)
    if kind is None:
        raise ProgramError(f"{where}: found kind {operation.kind!r}, expected one of {', '.join(KINDS)}.")
    count = len(operation.operands)
    _at_most(count, MAX_OPERANDS, f"operands of {operation.name}")
    fits = count >= 1 if kind.operands is None else count == kind.operands
    if not fits or len(operation.attributes) not in kind.attributes:
        expected = f"{kind.operands or 'some'} and {' or '.join(map(str, kind.attributes))}"
        given = f"{count} operands and {len(operation.attributes)} attributes"
        raise ProgramError(f"{where}: found {given}, expected {expected} of {operation.kind}.")
    if operation.kind == "matmul":
        return _matmul_width(where, operation, widths, matrices)
    found: list[int] = []
    for operand in operation.operands:
        if isinstance(operand, str):
            if operand not in widths:
                raise ProgramError(f"{where}: there is no row value {operand!r} before it.")
            found.append(widths[operand])
        elif operation.kind not in POINTWISE and operation.kind != "broadcast":
            raise ProgramError(f"{where}: found the number {operand}, which {operation.kind} cannot take.")
        elif math.isnan(operand):
            raise ProgramError(f"{where}: found NaN among its operands.")
    if operation.kind in POINTWISE or operation.kind in REDUCTIONS:
        if not found or len(set(found)) > 1:
            raise ProgramError(f"{where}: found operands of widths {found}, expected one width, of one value at least.")
        return found[0] if operation.kind in POINTWISE else _reduced_width(where, operation, found[0])
    return _layout_width(where, operation, found)


def _reduced_width(where: str, operation: Operation, width: int) -> int:
    if not operation.attributes:
        return 1
    size, inner = operation.attributes
    if not (0 < size <= width and 0 < inner <= width) or width % (size * inner):
        raise ProgramError(f"{where}: found {width} columns, expected [.., {size}, {inner}].")
    return width // size


def _matmul_width(
    where: str, operation: Operation, widths: Mapping[str, int], matrices: Mapping[str, tuple[int, int]]
) -> int:
    value, matrix = operation.operands
    if not isinstance(value, str) or value not in widths or not isinstance(matrix, str) or matrix not in matrices:
        raise ProgramError(f"{where}: found matmul of {value!r} and {matrix!r}, expected a row value and a matrix.")
    rows, columns = matrices[matrix]
    (groups,) = operation.attributes or (1,)
    if groups < 1 or widths[value] != groups * rows:
        of_groups = f" in {groups} groups" if operation.attributes else ""
        raise ProgramError(f"{where}: found [B, {widths[value]}]{of_groups} times [{rows}, {columns}].")
    return groups * columns


def _layout_width(where: str, operation: Operation, found: list[int]) -> int:
    """The width of a slice, a concatenation, a broadcast, or what is taken."""
    if operation.kind == "slice":
        start, stop = operation.attributes
        if not 0 <= start < stop <= found[0]:
            raise ProgramError(f"{where}: found columns {start} to {stop} of {found[0]}.")
        return stop - start
    if operation.kind == "broadcast":
        if found and found[0] != 1:
            raise ProgramError(f"{where}: found a value of {found[0]} columns, expected one.")
        return operation.attributes[0]
    if operation.kind == "take":
        return _taken_width(where, operation, found[0])
    return sum(found)


def _taken_width(where: str, operation: Operation, width: int) -> int:
    offset, *form = operation.attributes
    sizes, strides = form[::2], form[1::2]
    if min(sizes) < 1 or max(sizes) > MAX_WIDTH or max(map(abs, strides)) > MAX_WIDTH:
        raise ProgramError(f"{where}: found sizes {sizes} and strides {strides}, expected 1 to {MAX_WIDTH} and less.")
    ends = [(size - 1) * stride for size, stride in zip(sizes, strides, strict=True)]
    low, high = offset + sum(min(end, 0) for end in ends), offset + sum(max(end, 0) for end in ends)
    if low < 0 or high >= width:
        raise ProgramError(f"{where}: found columns {low} to {high} of {width}.")
    return math.prod(sizes)


def _check_name(name: str, widths: Mapping[str, int], matrices: Mapping[str, tuple[int, int]]) -> None:
    if not _NAME.fullmatch(name) or name in widths or name in matrices:
        raise ProgramError(f"value {name!r}: found a name that is no identifier or stands twice.")


def _check_width(name: str, size: int) -> None:
    if not 1 <= size <= MAX_WIDTH:
        raise ProgramError(f"value {name}: found size {size}, expected 1 to {MAX_WIDTH}.")


def _at_most(count: int, limit: int, what: str) -> None:
    if count > limit:
        raise ProgramError(f"found {count} {what}, expected at most {limit}.")
