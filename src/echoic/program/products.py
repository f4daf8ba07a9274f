"""Matmuls together with the sums that follow them: the engine adds while it multiplies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from echoic.program.fusion import use_counts
from echoic.program.phases import Phase
from echoic.program.program import Program


class Product(NamedTuple):
    """A matmul with the sums that follow it; of groups of columns a bias is not among them, as it has all columns."""

    result: str
    source: str
    matrix: str
    groups: int = 1
    added: str | None = None
    bias: str | None = None

    @property
    def operands(self) -> tuple[str, ...]:
        return (self.source, self.added) if self.added is not None else (self.source,)


@dataclass
class Products:
    """All matmuls by the value that comes out, and the values inside that are never seen."""

    by_result: dict[str, Product] = field(default_factory=dict)
    inside: set[str] = field(default_factory=set)


def absorbed_sums(program: Program, phase: Mapping[str, Phase]) -> Products:
    """Let each matmul add what is only added to it afterwards, in its phase: a vector and a row value, one of each."""
    uses, products = use_counts(program), Products()
    depends: dict[str, set[str]] = {}
    for operation in program.operations:
        names = {o for o in operation.operands if isinstance(o, str)}
        depends[operation.name] = names.union(*(depends.get(n, set()) for n in names))
        if operation.kind == "matmul":
            source, matrix = map(str, operation.operands)
            (groups,) = operation.attributes or (1,)
            products.by_result[operation.name] = Product(operation.name, source, matrix, groups)
        elif operation.kind == "add":
            for position in (0, 1):
                inner, other = operation.operands[position], operation.operands[1 - position]
                product = products.by_result.get(inner) if isinstance(inner, str) else None
                if product is None or not isinstance(other, str) or uses[product.result] != 1:
                    continue
                if phase[operation.name] != phase[product.result]:
                    continue
                if other in program.vectors and product.bias is None and product.groups == 1:
                    grown = product._replace(result=operation.name, bias=other)
                elif other not in program.vectors and product.added is None and inner not in depends.get(other, set()):
                    grown = product._replace(result=operation.name, added=other)
                else:
                    continue
                del products.by_result[product.result]
                products.inside.add(product.result)
                products.by_result[operation.name] = grown
                break
    return products
