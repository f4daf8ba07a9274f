"""Rewriting a program into fewer operations that mean the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import NamedTuple

from echoic.program.operations import SPREAD
from echoic.program.program import Operand, Operation, Program, cut_from


def fused(program: Program) -> Program:
    """Sums with products, sums of products over the columns, and gradients of a relu become single operations."""
    made = {operation.name: operation for operation in program.operations}
    rows = {source.name for source in program.sources if source.kind == "row"}
    seen = _Seen(made, use_counts(program), rows)
    operations = tuple(_REWRITES[o.kind](o, seen) if o.kind in _REWRITES else o for o in program.operations)
    return Program(program.sources, operations, program.results).keeping([name for name, _ in program.results])


def use_counts(program: Program) -> Counter[str]:
    """How often each value is an operand or a result."""
    uses = Counter(o for operation in program.operations for o in operation.operands if isinstance(o, str))
    uses.update(value for _, value in program.results)
    return uses


class _Seen(NamedTuple):
    """A program: its operations by name, how often each value is used, its sources of rows."""

    made: dict[str, Operation]
    uses: Counter[str]
    rows: set[str]

    def only_used_here(self, operand: Operand, kind: str) -> Operation | None:
        """The operation of that kind that makes an operand of which there is no other use."""
        found = self.made.get(str(operand))
        return found if found is not None and found.kind == kind and self.uses[found.name] == 1 else None


def _dot(operation: Operation, seen: _Seen) -> Operation:
    """The sum of a product of values that lie in memory; of two that do not, one would have to be written for it."""
    product = seen.only_used_here(operation.operands[0], "mul")
    if product is None:
        return operation
    factors = [str(cut_from(factor, seen.made)) for factor in product.operands]
    lasting = [factor in seen.rows for factor in factors]
    lies_there = all(there or factor in seen.made for there, factor in zip(lasting, factors, strict=True))
    spread = any(factor in seen.made and seen.made[factor].kind in SPREAD for factor in factors)
    if lies_there and not spread and (any(lasting) or factors[0] == factors[1]):
        return replace(operation, kind="dot", operands=product.operands)
    return operation


def _relu_grad(operation: Operation, seen: _Seen) -> Operation:
    """A gradient that goes on where a number is positive."""
    condition, zero, gradient = operation.operands
    inner = seen.only_used_here(condition, "le")
    if inner is None or not isinstance(inner.operands[0], str) or inner.operands[1] != 0.0 or repr(zero) != "0.0":
        return operation
    return replace(operation, kind="relu_grad", operands=(gradient, inner.operands[0]))


def _sum(operation: Operation, seen: _Seen) -> Operation:
    """A product that is only added to something, or a negative."""
    for position in (0, 1):
        operand, other = operation.operands[position], operation.operands[1 - position]
        negative, product = seen.only_used_here(operand, "neg"), seen.only_used_here(operand, "mul")
        if negative is not None and isinstance(negative.operands[0], str):
            return replace(operation, kind="sub", operands=(other, negative.operands[0]))
        if product is not None:
            return replace(operation, kind="fma", operands=(*product.operands, other))
    return operation


_REWRITES = {"sum": _dot, "add": _sum, "where": _relu_grad}
