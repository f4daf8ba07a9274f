"""A plan carried out with NumPy as the engine is told to: stage after stage, tile by tile, place by place.

Whatever was not written yet is NaN. Tiles are small, so that a stage which reads other columns or rows than it is
just writing is found out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from echoic.program import Program
from echoic.program.operations import KINDS, REDUCTIONS, Array, taken
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

TILE_ROWS, TILE_COLUMNS = 2, 3


def run_plan(plan: Plan, program: Program, memory: list[Array], sources: dict[str, Array]) -> list[Array]:
    """Carry a plan out. Gives the totals.

    Args:
        plan: of ``program``.
        memory: of the ports given from outside, [B, width] each; is written to.
        sources: vectors and matrices of the program by name.
    """
    assert [m.shape[1] for m in memory] == plan.ports[: plan.outside]
    batch = memory[0].shape[0] if memory else 1
    scratch = [np.full((batch, width), np.nan) for width in plan.ports[plan.outside :]]
    carrier = _Carrier(plan, [*memory, *scratch], sources, batch)
    carrier.run()
    return carrier.totals


class _Carrier:
    def __init__(self, plan: Plan, memory: list[Array], sources: dict[str, Array], batch: int) -> None:
        self.plan, self.memory, self.sources, self.batch = plan, memory, sources, batch
        self.totals = [np.zeros(width) for width in plan.totals]

    def run(self) -> None:
        with np.errstate(all="ignore"):
            for stage in self.plan.stages:
                if isinstance(stage, Pointwise):
                    self.pointwise(stage)
                elif isinstance(stage, Matmul):
                    self.matmul(stage)
                else:
                    assert isinstance(stage, Reduce)
                    places = [stage.source] if stage.other is None else [stage.source, stage.other]
                    rows = [self.columns(place, stage.width) for place in places]
                    made = REDUCTIONS[stage.kind].meaning(*rows, stage.size, stage.inner)
                    self.columns(stage.target, stage.width // stage.size)[:] = made

    def columns(self, place: Place, width: int) -> Array:
        """A view of memory, never beyond its end."""
        port = self.memory[place.port]
        assert place.offset >= 0
        assert place.offset + width <= port.shape[1]
        return port[:, place.offset : place.offset + width]

    def matmul(self, stage: Matmul) -> None:
        matrix = self.sources[self.plan.matrices[stage.matrix]]
        (wide, narrow), groups = matrix.shape, stage.groups
        of_groups = np.ascontiguousarray(self.columns(stage.source, groups * wide)).reshape(-1, wide)
        made = (of_groups @ matrix).reshape(self.batch, groups * narrow)
        if stage.added is not None:
            made = made + self.columns(stage.added, groups * narrow)
        if stage.bias is not None:
            made = made + self.sources[self.plan.vectors[stage.bias]]
        self.columns(stage.target, groups * narrow)[:] = made

    def pointwise(self, stage: Pointwise) -> None:
        for row in range(0, self.batch, TILE_ROWS):
            rows = slice(row, min(row + TILE_ROWS, self.batch))
            for column in range(0, stage.width, TILE_COLUMNS):
                self.tile(stage, rows, column, min(TILE_COLUMNS, stage.width - column))

    def tile(self, stage: Pointwise, rows: slice, column: int, wide: int) -> None:
        tiles: dict[int, Array] = {}
        shape = (rows.stop - rows.start, wide)

        def read(where: Where, spread: bool) -> Array:
            if isinstance(where, Register):
                assert not spread
                return tiles[where.index]
            if isinstance(where, Constant):
                return np.full(shape, self.plan.constants[where.index])
            if isinstance(where, Vector):
                vector = self.sources[self.plan.vectors[where.index]]
                return np.broadcast_to(vector[:1] if spread else vector[column : column + wide], shape)
            view = self.columns(where, 1 if spread else stage.width)
            return np.broadcast_to(view[rows] if spread else view[rows, column : column + wide], shape)

        for micro in stage.micros:
            if isinstance(micro.target, Total):
                assert micro.operands[-1] == micro.target
                assert len(self.totals[micro.target.index]) == stage.width
                factors = [read(where, False) for where in micro.operands[:-1]]
                assert len(factors) == {"add": 1, "fma": 2}[micro.kind]
                self.totals[micro.target.index][column : column + wide] += np.prod(factors, 0).sum(0)
                continue
            if micro.kind == "take":
                whole, form = micro.operands
                assert isinstance(form, Form)
                columns = taken(*self.plan.forms[form.index])
                assert len(columns) == stage.width
                made = self.everything(whole, columns.max() + 1, rows)[:, columns[column : column + wide]]
            else:
                made = self.calculated(micro, read)
            made = np.asarray(made, dtype=float)
            assert made.shape == shape
            if isinstance(micro.target, Register):
                tiles[micro.target.index] = made
            else:
                assert isinstance(micro.target, Place)
                self.columns(micro.target, stage.width)[rows, column : column + wide] = made

    def calculated(self, micro: Micro, read: Callable[[Where, bool], Array]) -> Array:
        kind = micro.kind.removesuffix("_column")
        single = 0 if kind == "broadcast" else 1 if kind != micro.kind else None  # which operand is a column
        operands = [np.ascontiguousarray(read(where, i == single)) for i, where in enumerate(micro.operands)]
        return operands[0] if kind == "broadcast" else KINDS[kind].meaning(*operands)

    def everything(self, where: Where, needed: int, rows: slice) -> Array:
        """All columns that are needed of what lies in memory."""
        if isinstance(where, Vector):
            return np.tile(self.sources[self.plan.vectors[where.index]], (rows.stop - rows.start, 1))
        assert isinstance(where, Place)
        return self.columns(where, needed)[rows]
