"""Putting what was recorded in its place: the prologue, the program, the epilogue.

What depends on parameters alone is computed once a run (the prologue: transposed or sliced weights); what depends on
the rows of the batch becomes operations of the program; what sums over the rows, the gradients of parameters, is
deferred: the loop keeps the operands, and one matmul or sum over all steps follows (the epilogue).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import fx

from echoic.cells import Cell
from echoic.engine.aten import in_place, operands_of, packet_is, translate
from echoic.engine.moving import Matrix, Row, Untraceable, form_of, has_rows, repeated, shape_of
from echoic.engine.simplify import simplify
from echoic.engine.translator import Translator
from echoic.program import Builder

aten = torch.ops.aten
_FILLS = {aten.full, aten.full_like, aten.zeros, aten.zeros_like, aten.ones, aten.ones_like, aten.new_zeros,
          aten.new_full, aten.new_ones, aten.scalar_tensor}  # fmt: skip
_UNSET = {aten.empty_like, aten.new_empty, aten.new_empty_strided, aten.empty_permuted}  # what is written to later


class TraceRefusal(Exception):
    """A step that no program can express; the message is a sentence that names the line of the cell."""


class Outer(NamedTuple):
    """A deferred gradient: the sum over all rows and steps of the outer products of two row values, or of so many
    groups of their columns."""

    left: str
    right: str
    groups: int = 1


class ColumnSum(NamedTuple):
    """A deferred gradient: the sum over all rows and steps of a row value."""

    value: str


class Sorter:
    """Puts every recorded node in its place."""

    def __init__(self, graph: fx.Graph, cell: Cell, parameters: tuple[str, ...]) -> None:
        self.graph, self.cell, self.parameters = graph, cell, parameters
        self.builder = Builder()
        self.rows: dict[fx.Node, Any] = {}  # to Row, or a tuple of Rows
        self.numbers: dict[fx.Node, float] = {}
        self.deferred: list[Outer | ColumnSum] = []
        self.before, self.after = _Partial(parameters), _Partial(parameters)
        self.derived: dict[tuple[fx.Node, str], str] = {}
        self.outputs: list[fx.Node] = []
        self.translator = Translator(self.builder, self._read, self._matrix, self._counting)

    def place(self, before: list[str], after: list[str]) -> list[Any]:
        """Go through the recording, whose inputs are row values, the parameters, row values. Gives what it returns."""
        placeholders = [node for node in self.graph.nodes if node.op == "placeholder"]
        names = [*before, *self.parameters, *after]
        assert len(names) == len(placeholders)
        for name, node in zip(names, placeholders, strict=True):
            if name in self.parameters:
                self.before.adopt(node, name)
                self.after.adopt(node, name)
            else:
                width = node.meta["val"].shape[1]
                self.rows[node] = Row(self.builder.source(name, "row", width), (width,))
        for node in self.graph.nodes:
            if node.op == "call_function":
                self._place(node)
            elif node.op == "get_attr":
                raise TraceRefusal(f"its step holds a tensor that is no parameter and no buffer ({node.target})")
        output: Any = next(node for node in self.graph.nodes if node.op == "output")
        return list(output.args[0])

    def parts(self, gradients: list[tuple[int, fx.Node]]) -> tuple[fx.GraphModule, fx.GraphModule, list[int]]:
        """Prologue, epilogue for some gradients, and the positions of the parameters that either takes."""
        prologue = self.before.module([node for node, _ in self.derived], [how for _, how in self.derived])
        epilogue = self.after.module([self.after.copies[node] for _, node in gradients])
        moving = {position for position, _ in gradients}
        count = range(len(self.parameters))
        used = [i for i in count if i in moving or _uses(prologue, i) or _uses(epilogue, i)]
        for module in (prologue, epilogue):
            _drop_inputs(module, [i for i in count if i not in used])
        return prologue, epilogue, used

    def derived_names(self) -> tuple[str, ...]:
        """The parameters of the program in the order in which the prologue gives them."""
        return tuple(self.derived.values())

    def _place(self, node: fx.Node) -> None:
        """Number, parameter, row value or sum over the rows."""
        inputs = node.all_input_nodes
        packet = getattr(node.target, "overloadpacket", None)
        if packet in _FILLS or (packet in _UNSET and has_rows(shape_of(node))):
            number = 1.0 if packet in (aten.ones, aten.ones_like, aten.new_ones) else 0.0
            if packet in (aten.full, aten.full_like, aten.new_full):
                number = float(node.args[2 if packet is aten.new_full else 1])  # pyright: ignore
            elif packet is aten.scalar_tensor:
                number = float(node.args[0])  # pyright: ignore
            self.numbers[node] = number
            if not has_rows(shape_of(node)) and not any(i in self.rows for i in inputs):
                self.before.fill(node, number)
            if not has_rows(shape_of(node)):
                self.after.fill(node, number)
            return
        if node.target is operator.getitem and isinstance(self.rows.get(inputs[0]), tuple):
            self.rows[node] = self.rows[inputs[0]][node.args[1]]  # pyright: ignore
            return
        if _only_summed(node):
            return
        has_batch = has_rows(shape_of(node))
        on_rows = has_batch or any(i in self.rows or has_rows(shape_of(i)) for i in inputs)
        try:
            sums_rows = not has_batch and node.target is not operator.getitem
            if on_rows and sums_rows and not self._is_tuple(node):
                self._defer(node)
                return
            if on_rows:
                self.rows[node] = translate(self.translator, node)
                if in_place(node):  # what was overwritten has the new value from here on
                    self.rows[inputs[0]] = self.rows[node]
            elif all(self.before.has(i) for i in inputs):
                if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
                    raise Untraceable(f"{packet} draws random numbers")
                self.before.copy(node)
                self.after.copy(node)
            else:
                self.after.copy(node)
        except Untraceable as error:
            raise TraceRefusal(f"{error}{_line(node)}") from None

    def _is_tuple(self, node: fx.Node) -> bool:
        return isinstance(node.meta.get("val"), tuple | list)

    def _defer(self, node: fx.Node) -> None:
        """A sum over the rows: keep its operands."""
        if _only_summed(node.args[0]):
            left, right = (self._read(operand) for operand in operands_of(node.args[0]))  # pyright: ignore
            return self.after.leaf(node, self._sum(self._outer(left, right)), shape_of(node))
        first = self._read(node.args[0])
        if packet_is(node, aten.mm) and has_rows(shape_of(node.args[1])):
            second = self._read(node.args[1])
            if first.axis == 1 and second.axis == 0:
                return self.after.stand_for(node, self._sum(self._outer(first, second)))
        elif packet_is(node, aten.bmm) and has_rows(shape_of(node.args[1])):
            second = self._read(node.args[1])
            if first.axis == 2 and second.axis == 1:
                pairs = zip(self.translator.slices(first), self.translator.slices(second), strict=True)
                return self.after.stack(node, [self._sum(self._outer(*pair)) for pair in pairs])
        elif packet_is(node, aten.sum):
            given: list[Any] = [*node.args, None]
            source = shape_of(given[0])
            dims = [d % len(source) for d in given[1]] if given[1] else list(range(len(source)))
            if first.axis in dims:
                features = [first.feature(d) for d in dims if d != first.axis or first.groups > 1]
                summed = self.translator.reduce("sum", first, features)
                total = self._sum(ColumnSum(self.builder.full(summed.value, summed.width)))
                return self.after.leaf(node, total, shape_of(node))
        raise Untraceable(f"{node.target} mixes the rows of the batch")

    def _outer(self, left: Row, right: Row) -> Outer:
        """That whose sum is [M, B] by [B, N], or [M, B * G] by [B * G, N], or all [M, G] by [G, N]."""
        groups = right.width // right.dims[-1]
        turned = self.translator.turned(left)
        return Outer(self.builder.full(turned, left.width), self.builder.full(right.value, right.width), groups)

    def _sum(self, deferred: Outer | ColumnSum) -> fx.Node:
        """What comes from the loop for the epilogue."""
        if deferred not in self.deferred:
            self.deferred.append(deferred)
        values, groups = (deferred[:2], deferred.groups) if isinstance(deferred, Outer) else (deferred, 1)
        made = tuple(self.builder.widths[value] // groups for value in values)
        return self.after.given(f"deferred_{self.deferred.index(deferred)}", made)

    def _read(self, argument: Any) -> Row:
        """The row value of a node, a parameter's or a number's too."""
        if isinstance(argument, int | float):
            return Row(float(argument), (), None)
        if not isinstance(argument, fx.Node):
            raise Untraceable(f"found {argument!r} among its operands")
        if argument in self.rows:
            return self.rows[argument]
        shape = shape_of(argument)
        if argument in self.numbers:
            number = self.numbers[argument]
            return Row(number, *form_of(shape)) if has_rows(shape) else Row(number, shape, None)
        if not self.before.has(argument):
            raise Untraceable("it mixes the rows of the batch")
        return Row(self._source(argument, "vector", (math.prod(shape),)), shape, None)

    def _matrix(self, matrix: Matrix) -> str:
        if not self.before.has(matrix.node):
            raise Untraceable("it multiplies values of the step with each other; programs multiply them by parameters")
        return self._source(matrix.node, "matrix", matrix.shape, matrix.position, matrix.turned)

    def _source(
        self, node: fx.Node, kind: str, shape: tuple[int, ...], position: int | None = None, turned: bool = False
    ) -> str:
        made = self.before.part(node, position, turned)
        key = (made, kind)
        if key not in self.derived:
            self.derived[key] = self.builder.source(f"p{len(self.derived)}", kind, *shape)
        return self.derived[key]

    def _counting(self, size: int) -> str:
        key = (self.before.counting(size), "vector")
        if key not in self.derived:
            self.derived[key] = self.builder.source(f"p{len(self.derived)}", "vector", size)
        return self.derived[key]

    def result(self, node: Any) -> str:
        """The name of a row value that the recording returns."""
        row = self._read(node)
        if row.axis != 0:
            raise TraceRefusal("a result of its step is transposed")
        return self.builder.full(row.value, row.width)


class _Partial:
    """A part of the recorded graph as a graph of its own, which takes the parameters."""

    def __init__(self, parameters: Iterable[str]) -> None:
        self.graph = fx.Graph()
        self.copies: dict[fx.Node, fx.Node] = {}
        self.inputs = {name: self.graph.placeholder(f"tensor_{i}") for i, name in enumerate(parameters)}
        self.extra: dict[str, fx.Node] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}  # of what the graph takes
        self._counting: dict[int, fx.Node] = {}
        self._parts: dict[tuple[fx.Node, int | None, bool], fx.Node] = {}
        self.like: fx.Node | None = None  # the first of them that is no whole numbers, and its type
        self.numbers: torch.dtype | None = None

    def adopt(self, node: fx.Node, name: str) -> None:
        self.copies[node] = self.inputs[name]
        if self.like is None and node.meta["val"].is_floating_point():
            self.like, self.numbers = self.inputs[name], node.meta["val"].dtype
        self.shapes[str(self.inputs[name].target)] = shape_of(node)

    def has(self, node: fx.Node) -> bool:
        return node in self.copies

    def fill(self, node: fx.Node, number: float) -> None:
        """A tensor of one number, of the type and on the device of the parameters."""
        if node.meta["val"].dtype != self.numbers:
            self.copy(node)
            return
        self.copies[node] = self.graph.call_function(aten.new_full.default, (self.like, list(shape_of(node)), number))

    def copy(self, node: fx.Node) -> None:
        self.copies[node] = self.graph.node_copy(node, lambda old: self.copies[old])
        _on_device_of_first(self.copies[node])

    def given(self, name: str, shape: tuple[int, ...]) -> fx.Node:
        """What comes from the loop."""
        if name not in self.extra:
            self.shapes[name] = shape
            with self.graph.inserting_before(_first_call(self.graph)):
                self.extra[name] = self.graph.placeholder(name)
        return self.extra[name]

    def leaf(self, node: fx.Node, made: fx.Node, shape: tuple[int, ...]) -> None:
        """A node is what comes from the loop, in a shape."""
        self.copies[node] = self.graph.call_function(aten.reshape.default, (made, list(shape)))

    def stand_for(self, node: fx.Node, made: fx.Node) -> None:
        """A node is what comes from the loop."""
        self.copies[node] = made

    def stack(self, node: fx.Node, made: list[fx.Node]) -> None:
        """A node is several of those, one above the other."""
        self.copies[node] = self.graph.call_function(aten.stack.default, (made,))

    def counting(self, size: int) -> fx.Node:
        """0, 1, 2 ... as numbers of the parameters' type."""
        if size not in self._counting:
            options = {"dtype": self._type(), "device": torch.device("cpu")}
            self._counting[size] = self.graph.call_function(aten.arange.default, (size,), options)
        return self._counting[size]

    def _type(self) -> torch.dtype:
        if self.numbers is None:
            raise Untraceable("it makes a tensor, and has no parameter whose type that could be")
        return self.numbers

    def part(self, node: fx.Node, position: int | None, turned: bool) -> fx.Node:
        """A tensor, or one of those stacked in it, or its transpose; as numbers of the parameters' type."""
        key = (node, position, turned)
        if key not in self._parts:
            made = self.copies[node]
            if node.meta["val"].dtype != self.numbers:  # what was compared or counted
                made = self.graph.call_function(aten._to_copy.default, (made,), {"dtype": self._type()})
            if position is not None:
                made = self.graph.call_function(aten.select.int, (made, 0, position))
            if turned:
                made = self.graph.call_function(aten.permute.default, (made, [1, 0]))
            self._parts[key] = made
        return self._parts[key]

    def module(self, made: list[fx.Node], kinds: list[str] | None = None) -> fx.GraphModule:
        """The graph that gives some of its nodes; vectors are flattened."""
        if kinds is not None:
            made = [
                node if kind == "matrix" else self.graph.call_function(aten.reshape.default, (node, [-1]))
                for node, kind in zip(made, kinds, strict=True)
            ]
        self.graph.output(tuple(made))
        simplify(self.graph, self.shapes)
        return fx.GraphModule(torch.nn.Module(), self.graph)


def _only_summed(node: Any) -> bool:
    """Whether a product of two values, row by row, is only added up over all rows: itself it is not needed then."""
    if not isinstance(node, fx.Node) or not packet_is(node, aten.bmm) or not node.users:
        return False
    sums = all(packet_is(user, aten.sum) and list(user.args[1]) == [0] for user in node.users)  # pyright: ignore
    return sums and all(has_rows(shape_of(each)[:1]) and repeated(each) is None for each in operands_of(node))


def _uses(module: fx.GraphModule, position: int) -> bool:
    """Whether the graph uses its input tensor of a position."""
    return any(node.target == f"tensor_{position}" and node.users for node in module.graph.nodes)


def _drop_inputs(module: fx.GraphModule, positions: list[int]) -> None:
    """Take unused inputs away."""
    targets = {f"tensor_{position}" for position in positions}
    for node in list(module.graph.nodes):
        if node.op == "placeholder" and node.target in targets:
            module.graph.erase_node(node)
    module.recompile()


def _on_device_of_first(node: fx.Node) -> None:
    """Constants were recorded on tensors without numbers: they are made on the processor instead."""
    if node.kwargs.get("device") is not None:
        node.kwargs = {**node.kwargs, "device": torch.device("cpu")}


def _first_call(graph: fx.Graph) -> fx.Node:
    """Where placeholders end."""
    return next((node for node in graph.nodes if node.op != "placeholder"), graph._root)


def _line(node: fx.Node) -> str:
    """Where in the cell a node was made; a node of the derivative comes from no line."""
    return f" ({node.meta['stack_trace']})" if node.meta.get("stack_trace") else ""
