"""A plan as the whole numbers that the native engine reads; it checks every one of them again."""

from __future__ import annotations

from collections.abc import Callable

from echoic.program.plan import (
    Constant,
    Form,
    Matmul,
    Place,
    Plan,
    Pointwise,
    Reduce,
    Register,
    Stage,
    Total,
    Vector,
    Where,
)
from echoic.program.program import MOST_DIMENSIONS, Program

_NOWHERE = (0, 0, 0)
_REDUCTIONS = ("sum", "max", "dot")  # as native/isa/kernels.h numbers them


def encode(plan: Plan, program: Program, opcode: Callable[[str], int]) -> list[int]:
    """The code of a plan of a program. ``opcode`` is the engine's number of a pointwise operation."""
    vectors = [program.widths[name] for name in plan.vectors]
    matrices = [size for name in plan.matrices for size in program.matrices[name]]
    code = [len(plan.ports), plan.outside, *plan.ports, len(vectors), *vectors, len(plan.matrices), *matrices]
    code += [len(plan.totals), *plan.totals]
    code += [len(plan.forms), *(number for form in plan.forms for number in _form(form))]
    code.append(len(plan.stages))
    for stage in plan.stages:
        code += _stage(stage, opcode)
    return code


def _stage(stage: Stage, opcode: Callable[[str], int]) -> list[int]:
    if isinstance(stage, Pointwise):
        code = [1, stage.phase, stage.width, len(stage.micros)]
        for micro in stage.micros:
            operands = [_where(o) for o in micro.operands]
            operands += [_NOWHERE] * (3 - len(operands))
            code += [opcode(micro.kind), *_where(micro.target), *(n for o in operands for n in o)]
        return code
    if isinstance(stage, Matmul):
        added = _NOWHERE if stage.added is None else _where(stage.added)
        bias = -1 if stage.bias is None else stage.bias
        places = (*_where(stage.source), *_where(stage.target), *added)
        return [2, stage.phase, stage.matrix, stage.groups, *places, bias]
    assert isinstance(stage, Reduce)
    other = _NOWHERE if stage.other is None else _where(stage.other)
    kind = _REDUCTIONS.index(stage.kind)
    form = (stage.width, stage.size, stage.inner)
    return [3, stage.phase, *form, kind, *_where(stage.source), *other, *_where(stage.target)]


def _form(form: tuple[int, ...]) -> tuple[int, ...]:
    """With dimensions of one column in front, so that all forms have as many."""
    return (form[0], *(1, 0) * (MOST_DIMENSIONS - len(form) // 2), *form[1:])


def _where(where: Where) -> tuple[int, int, int]:
    if isinstance(where, Place):
        return 1, where.port, where.offset
    if isinstance(where, Register):
        return 2, where.index, 0
    if isinstance(where, Vector):
        return 3, where.index, 0
    if isinstance(where, Total):
        return 5, where.index, 0
    if isinstance(where, Form):
        return 6, where.index, 0
    assert isinstance(where, Constant)
    return 4, where.index, 0
