"""Rewriting a program into fewer operations that mean the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from echoic.program.program import Operation, Program


def fused(program: Program) -> Program:
    """A product that is only added to something becomes one operation, as does the addition of a negative."""
    uses = use_counts(program)
    made = {operation.name: operation for operation in program.operations}
    rewritten: dict[str, Operation] = {}
    for operation in program.operations:
        rewritten[operation.name] = _rewritten(operation, made, uses)
    operations = tuple(rewritten[o.name] for o in program.operations)
    return Program(program.sources, operations, program.results).keeping([name for name, _ in program.results])


def use_counts(program: Program) -> Counter[str]:
    """How often each value is an operand or a result."""
    uses = Counter(o for operation in program.operations for o in operation.operands if isinstance(o, str))
    uses.update(value for _, value in program.results)
    return uses


def _rewritten(operation: Operation, made: dict[str, Operation], uses: Counter[str]) -> Operation:
    if operation.kind != "add":
        return operation
    for position in (0, 1):
        operand, other = operation.operands[position], operation.operands[1 - position]
        inner = made.get(operand) if isinstance(operand, str) else None
        if inner is None or uses[inner.name] != 1:
            continue
        if inner.kind == "neg" and isinstance(inner.operands[0], str):
            return replace(operation, kind="sub", operands=(other, inner.operands[0]))
        if inner.kind == "mul":
            return replace(operation, kind="fma", operands=(*inner.operands, other))
    return operation
