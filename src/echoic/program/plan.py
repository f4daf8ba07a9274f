"""A plan: a program laid out for the engine. Where every value lives, and in which order what is done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from echoic.program.phases import Phase


class Place(NamedTuple):
    """Columns of a port from ``offset`` on."""

    port: int
    offset: int


class Register(NamedTuple):
    """A tile of a pointwise stage."""

    index: int


class Vector(NamedTuple):
    """A parameter that is the same for every row."""

    index: int


class Constant(NamedTuple):
    """A number."""

    index: int


class Total(NamedTuple):
    """A vector that every row of every step is added to."""

    index: int


class Form(NamedTuple):
    """Which columns ``take`` takes."""

    index: int


Where = Place | Register | Vector | Constant | Total | Form


class Micro(NamedTuple):
    """One pointwise operation of a stage; ``add_column`` and its like read their second operand as a single column."""

    kind: str
    target: Where
    operands: tuple[Where, ...]


@dataclass(frozen=True)
class Pointwise:
    """Operations done tile by tile over all rows."""

    width: int
    micros: tuple[Micro, ...]
    phase: Phase = Phase.WITHIN


@dataclass(frozen=True)
class Matmul:
    """target = source @ matrix for each of some groups of columns, plus a row value and a vector if there are any."""

    matrix: int
    source: Place
    target: Place
    added: Place | None
    bias: int | None
    groups: int = 1
    phase: Phase = Phase.WITHIN


@dataclass(frozen=True)
class Reduce:
    """target = the sum or the maximum of source [B, .., size, inner] over ``size``, or the sum of its products with
    another."""

    kind: str
    source: Place
    other: Place | None
    target: Place
    width: int
    size: int
    inner: int
    phase: Phase = Phase.WITHIN


Stage = Pointwise | Matmul | Reduce


@dataclass
class Plan:
    """What the engine runs.

    ports: widths of all memory of rows: first those given from outside, then scratch.
    outside: how many are given from outside.
    vectors, matrices: source names in the order of their indices.
    matrix_sizes: numbers in each matrix.
    totals: widths of the sums over all rows and steps that are made on the way.
    forms: of what is taken by strides: offset, then size and stride of each dimension.
    stages: those that can be done for many steps ahead, those of every step, those that can be done behind.
    """

    ports: list[int]
    outside: int
    vectors: list[str]
    matrices: list[str]
    matrix_sizes: list[int]
    totals: list[int]
    constants: list[float] = field(default_factory=list)
    forms: list[tuple[int, ...]] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)

    @property
    def multiplications(self) -> int:
        """Of all matmuls, for one row."""
        return sum(self.matrix_sizes[s.matrix] * s.groups for s in self.stages if isinstance(s, Matmul))
