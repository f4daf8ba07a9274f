"""What a program may be, and what it is refused for."""

from __future__ import annotations

import math
from typing import Any

import pytest

from echoic.errors import ProgramError
from echoic.program import Operation, Program, Source
from echoic.program.operations import KINDS, POINTWISE
from echoic.program.program import MAX_OPERANDS, MAX_OPERATIONS, MAX_SOURCES, MAX_WIDTH

X, Y = Source("x", "row", (3,)), Source("y", "row", (2,))
B, W = Source("b", "vector", (3,)), Source("w", "matrix", (3, 5))


def program(*operations: tuple[Any, ...], sources: tuple[Source, ...] = (X, Y, B, W), results: Any = ()) -> Program:
    return Program(sources, tuple(Operation(*o) for o in operations), tuple(results))


@pytest.mark.parametrize(
    ("operation", "width"),
    [
        (("v", "tanh", ("x",)), 3),
        (("v", "add", ("x", "b")), 3),
        (("v", "add", ("x", 2.0)), 3),
        (("v", "add", (-math.inf, "x")), 3),
        (("v", "where", ("x", 0.0, 1.0)), 3),
        (("v", "matmul", ("x", "w")), 5),
        (("v", "matmul", ("x", "w"), (1,)), 5),
        (("v", "sum", ("x",)), 1),
        (("v", "max", ("b",)), 1),
        (("v", "slice", ("x",), (1, 3)), 2),
        (("v", "concat", ("x", "y", "x")), 8),
        (("v", "broadcast", (0.5,), (9,)), 9),
        (("v", "sum", ("x",), (3, 1)), 1),
        (("v", "max", ("x",), (1, 3)), 3),
        (("v", "dot", ("x", "b"), (1, 1)), 3),
        (("v", "take", ("x",), (2, 3, -1)), 3),
        (("v", "take", ("b",), (0, 2, 1, 2, 1, 4, 0, 5, 0)), 80),
    ],
)
def test_widths_follow_from_the_operations(operation: tuple[Any, ...], width: int) -> None:
    made = program(operation, results=[("out", "v")])
    assert made.widths == {"x": 3, "y": 2, "b": 3, "v": width}
    assert made.matrices == {"w": (3, 5)}
    assert made.vectors == {"b"}


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (("v", "arcsin", ("x",)), "kind 'arcsin'"),
        (("v", "tanh", ("x", "x")), "2 operands"),
        (("v", "add", ("x",)), "1 operands"),
        (("v", "concat", ()), "0 operands"),
        (("v", "concat", ("x",) * (MAX_OPERANDS + 1)), "257 operands of v"),
        (("v", "tanh", ("x",), (1,)), "1 attributes"),
        (("v", "slice", ("x",)), "0 attributes"),
        (("v", "slice", ("x",), (0, 1, 2)), "3 attributes"),
        (("v", "tanh", ("z",)), "no row value 'z'"),
        (("v", "tanh", ("v",)), "no row value 'v'"),
        (("v", "tanh", ("w",)), "no row value 'w'"),
        (("v", "add", ("x", "y")), r"widths \[3, 2\]"),
        (("v", "add", (1.0, 2.0)), r"widths \[\]"),
        (("v", "add", ("x", math.nan)), "NaN"),
        (("v", "broadcast", (math.nan,), (3,)), "NaN"),
        (("v", "matmul", ("y", "w")), r"\[B, 2\] times \[3, 5\]"),
        (("v", "matmul", ("x", "w"), (2,)), r"\[B, 3\] in 2 groups times \[3, 5\]"),
        (("v", "matmul", ("x", "w"), (0,)), r"\[B, 3\] in 0 groups times \[3, 5\]"),
        (("v", "matmul", ("x", "w"), (1, 1)), "2 attributes"),
        (("v", "matmul", ("x", "x")), "expected a row value and a matrix"),
        (("v", "matmul", ("w", "x")), "expected a row value and a matrix"),
        (("v", "matmul", ("x", 2.0)), "expected a row value and a matrix"),
        (("v", "matmul", (2.0, "w")), "expected a row value and a matrix"),
        (("v", "sum", (2.0,)), "number 2.0"),
        (("v", "concat", ("x", 2.0)), "number 2.0"),
        (("v", "slice", (2.0,), (0, 1)), "number 2.0"),
        (("v", "slice", ("x",), (0, 4)), "columns 0 to 4 of 3"),
        (("v", "slice", ("x",), (-1, 2)), "columns -1 to 2"),
        (("v", "slice", ("x",), (2, 2)), "columns 2 to 2"),
        (("v", "slice", ("x",), (2, 1)), "columns 2 to 1"),
        (("v", "broadcast", ("x",), (3,)), "3 columns, expected one"),
        (("v", "sum", ("x",), (2, 1)), r"3 columns, expected \[.., 2, 1\]"),
        (("v", "sum", ("x",), (0, 1)), r"3 columns, expected \[.., 0, 1\]"),
        (("v", "sum", ("x",), (3, 3)), r"3 columns, expected \[.., 3, 3\]"),
        (("v", "sum", ("x",), (-3, -1)), r"3 columns, expected \[.., -3, -1\]"),
        (("v", "sum", ("x",), (1, 2**39)), "3 columns"),
        (("v", "sum", ("x",), (3,)), "1 attributes, expected 1 and 0 or 2 of sum"),
        (("v", "take", ("x",), (0, 1)), "2 attributes, expected 1 and 3 or 5 or 7 or 9 of take"),
        (("v", "take", ("x",), (0,) + (1, 0) * 5), "11 attributes"),
        (("v", "take", ("x",), (0, 0, 1)), r"sizes \[0\]"),
        (("v", "take", ("x",), (0, MAX_WIDTH + 1, 0)), "sizes"),
        (("v", "take", ("x",), (0, 1, MAX_WIDTH + 1)), "strides"),
        (("v", "take", ("x",), (0, 4, 1)), "columns 0 to 3 of 3"),
        (("v", "take", ("x",), (1, 2, 1, 2, 1)), "columns 1 to 3 of 3"),
        (("v", "take", ("x",), (1, 3, -1)), "columns -1 to 1 of 3"),
        (("v", "take", ("x",), (-1, 1, 0)), "columns -1 to -1 of 3"),
        (("v", "take", ("x",), (3, 1, 0)), "columns 3 to 3 of 3"),
        (("v", "take", ("x",), (0, MAX_WIDTH, 0, 2, 0)), f"size {2 * MAX_WIDTH}"),
        (("v", "take", (2.0,), (0, 1, 0)), "number 2.0"),
        (("v", "broadcast", (1.0,), (0,)), "size 0"),
        (("v", "broadcast", (1.0,), (MAX_WIDTH + 1,)), f"size {MAX_WIDTH + 1}"),
        (("x", "tanh", ("x",)), "'x'.*stands twice"),
        (("w", "tanh", ("x",)), "'w'.*stands twice"),
        (("1v", "tanh", ("x",)), "no identifier"),
        (("v" * 65, "tanh", ("x",)), "no identifier"),
        (("v\n", "tanh", ("x",)), "no identifier"),
    ],
)
def test_an_operation_that_cannot_be_is_refused(operation: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        program(operation)


@pytest.mark.parametrize("kind", list(POINTWISE))
def test_every_pointwise_kind_wants_its_operands(kind: str) -> None:
    count = POINTWISE[kind].operands
    assert count is not None
    assert program(("v", kind, ("x",) * count)).widths["v"] == 3
    for wrong in (0, count + 1):
        with pytest.raises(ProgramError, match=f"{wrong} operands"):
            program(("v", kind, ("x",) * wrong))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Source("x", "row", (0,)), "size 0"),
        (Source("x", "row", (-3,)), "size -3"),
        (Source("x", "row", (MAX_WIDTH + 1,)), f"expected 1 to {MAX_WIDTH}"),
        (Source("x", "matrix", (3, 0)), "size 0"),
        (Source("x", "row", ()), r"row \[\]"),
        (Source("x", "row", (3, 4)), r"row \[3, 4\]"),
        (Source("x", "vector", (3, 4)), r"vector \[3, 4\]"),
        (Source("x", "matrix", (3,)), r"matrix \[3\]"),
        (Source("x", "tensor", (3,)), "tensor"),
        (Source("", "row", (3,)), "no identifier"),
        (Source("a b", "row", (3,)), "no identifier"),
        (Source("y", "row", (3,)), "stands twice"),
        (Source("w", "row", (3,)), "stands twice"),
    ],
)
def test_a_source_that_cannot_be_is_refused(source: Source, message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        Program((Y, W, source), (), ())


def test_the_largest_is_taken() -> None:
    sources = tuple(Source(f"x{i}", "row", (MAX_WIDTH,)) for i in range(MAX_SOURCES))
    operations = tuple(Operation(f"v{i}", "tanh", ("x0",)) for i in range(MAX_OPERATIONS))
    assert len(Program(sources, operations, ()).widths) == MAX_SOURCES + MAX_OPERATIONS
    with pytest.raises(ProgramError, match="sources, expected at most"):
        Program((*sources, Source("more", "row", (1,))), (), ())
    with pytest.raises(ProgramError, match="operations, expected at most"):
        Program(sources, (*operations, Operation("more", "tanh", ("x0",))), ())
    with pytest.raises(ProgramError, match="results, expected at most"):
        Program(sources, (), tuple((f"r{i}", "x0") for i in range(MAX_SOURCES + 1)))


def test_a_concatenation_too_wide_is_refused() -> None:
    with pytest.raises(ProgramError, match="expected 1 to"):
        program(("v", "concat", ("x", "x")), sources=(Source("x", "row", (MAX_WIDTH // 2 + 1,)),))


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([("out", "v")], "no row value 'v'"),
        ([("out", "w")], "no row value 'w'"),
        ([("out", "x"), ("out", "y")], "stands twice"),
        ([("out!", "x")], "no identifier"),
    ],
)
def test_a_result_that_cannot_be_is_refused(results: Any, message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        program(results=results)


def test_keeping_drops_what_is_not_needed() -> None:
    whole = program(
        ("a", "tanh", ("x",)),
        ("b2", "add", ("a", "b")),
        ("c", "matmul", ("x", "w")),
        ("d", "tanh", ("y",)),
        results=[("first", "b2"), ("second", "c"), ("third", "d"), ("fourth", "x")],
    )
    kept = whole.keeping(["first", "fourth"])
    assert [s.name for s in kept.sources] == ["x", "b"]
    assert [o.name for o in kept.operations] == ["a", "b2"]
    assert kept.results == (("first", "b2"), ("fourth", "x"))


def test_kinds_have_names_of_their_own() -> None:
    assert len(KINDS) == len(POINTWISE) + 8
