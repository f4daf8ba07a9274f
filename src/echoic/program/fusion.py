"""Rewriting a program into fewer operations that mean the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from echoic.program.program import Operand, Operation, Program


def fused(program: Program) -> Program:
    """A product that is only added to something becomes one operation, as does the addition of a negative, and the sum
    over the columns of a product."""
    uses = use_counts(program)
    made = {operation.name: operation for operation in program.operations}
    rows = {source.name for source in program.sources if source.kind == "row"}
    operations = tuple(
        _dot(operation, made, uses, rows) if operation.kind == "sum" else _rewritten(operation, made, uses)
        for operation in program.operations
    )
    return Program(program.sources, operations, program.results).keeping([name for name, _ in program.results])


def use_counts(program: Program) -> Counter[str]:
    """How often each value is an operand or a result."""
    uses = Counter(o for operation in program.operations for o in operation.operands if isinstance(o, str))
    uses.update(value for _, value in program.results)
    return uses


def _dot(operation: Operation, made: dict[str, Operation], uses: Counter[str], rows: set[str]) -> Operation:
    """The sum of a product of values that lie in memory; of two that do not, one would have to be written for it."""
    product = made.get(str(operation.operands[0]))
    if product is None or product.kind != "mul" or uses[product.name] != 1:
        return operation
    factors = [_root(factor, made) for factor in product.operands]
    lasting = [factor in rows for factor in factors]
    lies_there = all(there or factor in made for there, factor in zip(lasting, factors, strict=True))
    spread = any(factor in made and made[factor].kind == "broadcast" for factor in factors)
    if lies_there and not spread and (any(lasting) or factors[0] == factors[1]):
        return replace(operation, kind="dot", operands=product.operands)
    return operation


def _root(value: Operand, made: dict[str, Operation]) -> str:
    """What a value is cut from."""
    while value in made and made[value].kind == "slice":
        value = made[value].operands[0]
    return str(value)


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
