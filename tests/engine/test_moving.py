"""Where features go: what PyTorch does to [B, W], in programs; and that no row meets another."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

from echoic.engine.moving import ROWS, Row, Untraceable, columns, form_of, form_of_columns, has_rows, moved
from echoic.program import Builder, interpret
from echoic.program.operations import taken

WIDTH, BATCH = 12, 5

MOVES: dict[str, Callable[[Tensor], Tensor]] = {
    "view": lambda x: x.view(-1, 3, 4),
    "and back": lambda x: x.view(-1, 3, 4).view(-1, 12),
    "batch in the middle": lambda x: x.view(-1, 3, 4).transpose(0, 1),
    "batch at the end": lambda x: x.t(),
    "batch in groups": lambda x: x.view(-1, 4),
    "groups taken apart": lambda x: x.view(-1, 4).t().reshape(4, -1, 3).permute(1, 2, 0),
    "four dimensions": lambda x: x.view(-1, 2, 3, 2).permute(3, 0, 2, 1),
    "exchanged": lambda x: x.view(-1, 3, 4).transpose(1, 2).reshape(-1, 12),
    "slice": lambda x: x[:, 3:9:2],
    "slice of groups": lambda x: x.view(-1, 3, 4)[:, 1:, :2],
    "select": lambda x: x.view(-1, 3, 4)[:, 1],
    "column": lambda x: x[:, 5],
    "split": lambda x: torch.cat(list(x.split([5, 4, 3], 1))[::-1], 1),
    "unbind": lambda x: torch.stack(x.view(-1, 3, 4).unbind(1)[::-1], 2),
    "nothing and all": lambda x: torch.cat([x[:, :0], x, x[:, 12:]], 1),
    "twice": lambda x: torch.cat([x, x], 1),
    "expand": lambda x: x[:, :1].expand(-1, 4),
    "expand in the middle": lambda x: x.unsqueeze(1).expand(-1, 3, -1),
    "repeat": lambda x: x.repeat(1, 2),
    "flip": lambda x: x.flip(1),
    "roll": lambda x: torch.ops.aten.roll(x, [5], [1]),
    "pad": lambda x: torch.ops.aten.constant_pad_nd(x, [2, 1], 0.5),
    "pad groups": lambda x: torch.ops.aten.constant_pad_nd(x.view(-1, 3, 4), [0, 1, 1, 0]),
    "scatter": lambda x: torch.ops.aten.slice_scatter(x, x[:, :4], 1, 6, 10),
    "scatter one": lambda x: torch.ops.aten.select_scatter(x.view(-1, 3, 4), x[:, :4], 1, 2),
    "by strides": lambda x: torch.ops.aten.as_strided(x, [len(x), 2, 3], [12, 4, 1], 3),
    "scatter by strides": lambda x: torch.ops.aten.as_strided_scatter(x, x[:, :3], [len(x), 3], [12, 2], 1),
}

MIXED: dict[str, Callable[[Tensor], Tensor]] = {
    "flip": lambda x: x.flip(0),
    "roll": lambda x: torch.ops.aten.roll(x, [1], [0]),
    "roll of all": lambda x: torch.ops.aten.roll(x, [1], []),
    "rows as features": lambda x: x.view(12, -1),
    "a transposed one": lambda x: x.t().reshape(-1, 12),
    "some rows": lambda x: x[1:],
    "every second": lambda x: x[::2],
    "one row": lambda x: x[3],
    "over the end of rows": lambda x: torch.ops.aten.as_strided(x, [len(x), 3], [11, 1], 0),
    "rows twice": lambda x: x.repeat(2, 1),
    "rows by each other": lambda x: x.unsqueeze(0).expand(ROWS if len(x) == ROWS else len(x), -1, -1),
    "sums of groups of rows": lambda x: x.view(-1, 4).t().reshape(4, 3, -1),
}


def program_of(move: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """What a program makes of rows, in the shape that PyTorch gives them."""
    graph = make_fx(move)(torch.empty(ROWS, WIDTH, device="meta")).graph
    builder = Builder()
    rows: dict[fx.Node, Any] = {}
    for node in graph.nodes:
        if node.op == "placeholder":
            rows[node] = Row(builder.source("x", "row", WIDTH), (WIDTH,))
        elif node.target is operator.getitem:
            rows[node] = rows[node.args[0]][node.args[1]]
        elif node.op == "call_function":
            rows[node] = moved(builder, node, rows.__getitem__)
    row = rows[next(iter(reversed(graph.nodes))).args[0]]
    found = interpret(builder.program({"y": builder.full(row.value, row.width)}), {"x": x.numpy()})["y"]
    assert found.shape == (len(x), row.width)
    return torch.from_numpy(found).reshape(-1, *row.dims).movedim(0, row.axis).reshape(row.shape(len(x)))


@pytest.mark.parametrize("name", MOVES)
def test_moves(name: str) -> None:
    x = torch.arange(1.0, 1 + BATCH * WIDTH).view(BATCH, WIDTH)
    torch.testing.assert_close(program_of(MOVES[name], x), MOVES[name](x), rtol=0, atol=0)


@pytest.mark.parametrize("name", MIXED)
def test_rows_do_not_meet(name: str) -> None:
    with pytest.raises(Untraceable, match="rows of the batch"):
        program_of(MIXED[name], torch.zeros(BATCH, WIDTH))


def test_values_of_too_many_pieces() -> None:
    builder = Builder()
    value = builder.source("x", "row", 600)
    scattered = [7 * i * i % 601 - 1 for i in range(1, 301)]
    with pytest.raises(Untraceable, match="of 300 pieces"):
        columns(builder, value, 600, torch.tensor(scattered))
    assert builder.operations == []


def test_columns_are_cut_as_they_lie() -> None:
    """Neighbours as one slice, a single one spread, all as they are."""
    builder = Builder()
    value = builder.source("x", "row", 9)
    assert columns(builder, value, 9, torch.arange(9)) == value
    columns(builder, value, 9, torch.tensor([2, 3, 4, 7, 7, 7, 0]))
    kinds = [(operation.kind, operation.attributes) for operation in builder.operations]
    assert kinds == [("slice", (2, 5)), ("slice", (7, 8)), ("broadcast", (3,)), ("slice", (0, 1)), ("concat", ())]


@pytest.mark.parametrize(
    ("order", "form"),
    [
        (lambda x: x.flip(0), (29, 30, -1)),
        (lambda x: x.view(5, 6).t(), (0, 6, 1, 5, 6)),
        (lambda x: x.view(2, 3, 5).transpose(1, 2), (0, 2, 15, 5, 1, 3, 5)),
        (lambda x: x[4:].repeat_interleave(3), (4, 26, 1, 3, 0)),
        (lambda x: x[:5].repeat(7), (0, 7, 0, 5, 1)),
        (lambda x: x.view(3, 10)[:, 2:4].repeat(1, 3).repeat_interleave(2), (2, 3, 10, 3, 0, 2, 1, 2, 0)),
        (lambda x: x[torch.tensor([0, 1, 2, 4, 5, 6, 9, 10, 11])], None),
        (lambda x: torch.cat([x, x[:7], x]), None),
        (lambda x: x.view(2, 3, 5, 1).expand(-1, -1, -1, 2).permute(3, 2, 1, 0).repeat_interleave(2), None),
    ],
)
def test_columns_by_strides(order: Callable[[Tensor], Tensor], form: tuple[int, ...] | None) -> None:
    numbers = order(torch.arange(30)).flatten()
    assert form_of_columns(numbers) == form
    if form is not None:
        assert taken(*form).tolist() == numbers.tolist()


def test_columns_of_columns() -> None:
    """Taken from what they were taken from; as many as there were, in their order, are what there was."""
    builder = Builder()
    value = builder.source("x", "row", 30)
    turned = columns(builder, value, 30, torch.arange(30).view(5, 6).t().flatten())
    assert columns(builder, turned, 30, torch.arange(30).view(6, 5).t().flatten()) == value
    columns(builder, turned, 30, torch.arange(29, -1, -1))
    kinds = [(operation.kind, operation.operands, operation.attributes) for operation in builder.operations]
    assert kinds == [("take", ("x",), (0, 6, 1, 5, 6)), ("take", ("x",), (29, 6, -1, 5, -6))]


@pytest.mark.parametrize(
    ("shape", "form"),
    [
        ((ROWS, 7), ((7,), 0, 1)),
        ((ROWS,), ((), 0, 1)),
        ((2, ROWS, 7), ((2, 7), 1, 1)),
        ((5, 3 * ROWS, 7), ((5, 3, 7), 1, 3)),
    ],
)
def test_shapes_and_forms(shape: tuple[int, ...], form: tuple[tuple[int, ...], int, int]) -> None:
    assert form_of(shape) == form
    row = Row(0.0, *form)
    assert row.shape(ROWS) == shape
    sizes = [size for size in shape if size % ROWS]
    assert [row.dims[row.feature(shape.index(size))] for size in sizes] == sizes


def test_shapes_without_one_batch() -> None:
    assert not has_rows((7, 0))
    for shape in ((7,), (ROWS, ROWS)):
        with pytest.raises(Untraceable, match="mixes the rows"):
            form_of(shape)
