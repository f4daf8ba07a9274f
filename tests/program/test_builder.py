"""Writing programs: nothing twice, nothing that changes nothing, slices of what they were cut from."""

from __future__ import annotations

import numpy as np
import pytest

from echoic.errors import ProgramError
from echoic.program import Builder, interpret
from echoic.program.plan import Place
from echoic.program.planning import make_plan


@pytest.fixture
def builder() -> Builder:
    made = Builder()
    for name in "xy":
        made.source(name, "row", 6)
    made.source("column", "row", 1)
    made.source("w", "matrix", 6, 3)
    return made


def test_what_was_written_is_not_written_again(builder: Builder) -> None:
    first = builder.emit("sub", "x", "y", width=6)
    assert builder.emit("sub", "x", "y", width=6) == first
    assert builder.emit("sub", "y", "x", width=6) != first
    assert builder.emit("add", "x", "y", width=6) == builder.emit("add", "y", "x", width=6)
    assert builder.emit("mul", "x", 2.0, width=6) == builder.emit("mul", 2.0, "x", width=6)
    assert builder.emit("mul", "x", 2.0, width=6) != builder.emit("mul", "x", 3.0, width=6)
    assert len(builder.operations) == 5


def test_what_changes_nothing_is_not_written(builder: Builder) -> None:
    for kind, operands in {"add": ("x", 0.0), "sub": ("x", 0.0), "mul": (1.0, "x"), "div": ("x", 1.0)}.items():
        assert builder.emit(kind, *operands, width=6) == "x"
    assert builder.emit("copy", "x", width=6) == "x"
    assert builder.slice("x", 0, 6) == "x"
    assert builder.spread("x", 6) == "x"
    assert builder.emit("div", 3.0, 4.0, width=1) == 0.75
    assert builder.operations == []
    for kind, operands in {"sub": (0.0, "x"), "div": (1.0, "x")}.items():
        assert builder.emit(kind, *operands, width=6) != "x"


def test_slices_are_cut_from_the_whole(builder: Builder) -> None:
    first = builder.slice("x", 1, 5)
    assert builder.slice(first, 1, 3) == builder.slice("x", 2, 4)
    both = builder.emit("concat", "x", "column", "y", width=13)
    assert builder.slice(both, 7, 13) == "y"
    assert builder.slice(both, 8, 10) == builder.slice("y", 1, 3)
    assert builder.slice(both, 6, 7) == "column"
    across = builder.slice(both, 5, 8)
    program = builder.program({"across": str(across)})
    numbers = {name: np.random.default_rng(i).random((2, width)) for i, (name, width) in enumerate(
        [("x", 6), ("y", 6), ("column", 1)])}  # fmt: skip
    expected = np.hstack([numbers["x"][:, 5:], numbers["column"], numbers["y"][:, :1]])
    np.testing.assert_array_equal(interpret(program, numbers)["across"], expected)


def test_a_program_holds_only_what_its_results_need(builder: Builder) -> None:
    builder.emit("tanh", "y", width=6)
    wanted = str(builder.emit("matmul", "x", "w", width=3))
    program = builder.program({"out": wanted})
    assert [s.name for s in program.sources] == ["x", "w"]
    assert [o.kind for o in program.operations] == ["matmul"]


@pytest.mark.parametrize(
    ("kind", "operands"),
    [
        ("exp", (1.0,)),
        ("maximum", (1.0, 2.0)),
        ("div", (1.0, 0.0)),
        ("mul", ("x", float("nan"))),
        ("sub", (0.0, -np.nan)),
    ],
)
def test_numbers_alone_and_no_numbers_are_refused(
    builder: Builder, kind: str, operands: tuple[str | float, ...]
) -> None:
    with pytest.raises(ProgramError):
        builder.emit(kind, *operands, width=6)


def test_zero_and_minus_zero_are_two(builder: Builder) -> None:
    """They are equal, and their reciprocals are as far apart as can be."""
    made = [str(builder.emit("div", "x", zero, width=6)) for zero in (0.0, -0.0)]
    assert made[0] != made[1]
    program = builder.program({"plus": made[0], "minus": made[1]})
    found = interpret(program, {"x": np.ones((1, 6))})
    assert (found["plus"] == np.inf).all()
    assert (found["minus"] == -np.inf).all()
    plan = make_plan(program, [6, 6, 6], {"x": Place(0, 0)}, {"plus": [Place(1, 0)], "minus": [Place(2, 0)]})
    assert [repr(constant) for constant in plan.constants] == ["0.0", "-0.0"]
