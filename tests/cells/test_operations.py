"""A step is made of few kinds of operations, so that it can become a program: none looks at values or at other rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from echoic.cells import Cell, build_cell, registered_cells

CASES = [(name, dict(options)) for name, kind in registered_cells().items() for options in kind.variants]
MATMULS = {"addmm", "mm", "t", "bmm", "convolution"}
LAYOUT = {
    *("split", "split_with_sizes", "slice", "select", "unbind", "cat", "alias", "detach", "getitem"),
    *("view", "_unsafe_view", "unsqueeze", "squeeze", "expand", "clone", "transpose"),
}
REDUCTIONS = {"native_layer_norm", "sum", "mean", "var", "amax", "_softmax", "linalg_vector_norm"}
POINTWISE = {
    *("add", "sub", "rsub", "mul", "div", "neg", "reciprocal", "abs", "floor", "sqrt", "rsqrt", "pow"),
    *("exp", "log", "sin", "cos", "tanh", "sigmoid", "softplus", "relu", "maximum", "minimum", "clamp", "clamp_min"),
    *("where", "gt", "ge", "lt", "le", "eq", "ne"),
}


def operations(cell: Cell, step: Any, *given: Any) -> list[torch.fx.Node]:
    """What a step calls, traced over the cell's parameters as well."""

    def function(parameters: dict[str, Tensor], *given: Any) -> Any:
        return torch.func.functional_call(Calling(cell, step), parameters, given)

    parameters = {f"cell.{name}": value for name, value in cell.named_parameters()}
    graph = make_fx(function)(parameters, *given).graph
    return [node for node in graph.nodes if node.op == "call_function"]


class Calling(torch.nn.Module):
    """A method of a cell as a module's forward."""

    def __init__(self, cell: Cell, step: Any) -> None:
        super().__init__()
        self.cell, self.step = cell, step

    def forward(self, *given: Any) -> Any:
        return self.step(self.cell, *given)


def name_of(node: torch.fx.Node) -> str:
    target: Any = node.target
    return target.__name__.partition(".")[0]


@pytest.mark.parametrize(("name", "options"), CASES, ids=[f"{name}-{options}" for name, options in CASES])
def test_a_step_is_made_of_known_operations(name: str, options: dict[str, Any]) -> None:
    kind = registered_cells()[name]
    cell = build_cell(name, *kind.nearest_sizes(8, 12, **options), **options)
    inputs, state = torch.randn(5, cell.input_size), cell.initial_state(5)
    nodes = operations(cell, kind.project, inputs)
    nodes += operations(cell, kind.update, cell.project(inputs), state)
    assert {name_of(node) for node in nodes} <= MATMULS | LAYOUT | REDUCTIONS | POINTWISE
    for node in nodes:
        values = node.meta["val"] if isinstance(node.meta["val"], list | tuple) else [node.meta["val"]]
        assert all(value.dim() <= 4 for value in values), node  # rows of matrices, at most
