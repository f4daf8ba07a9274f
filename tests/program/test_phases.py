"""What can be done ahead of a recurrence, what within, what behind."""

from __future__ import annotations

from echoic.program import Operation, Program, Source
from echoic.program.phases import Phase, phases

ROWS = [Source("x", "row", (3,)), Source("h", "row", (4,))]
WEIGHTS = [Source("u", "matrix", (3, 4)), Source("w", "matrix", (4, 4)), Source("v", "matrix", (4, 3))]
BIAS = Source("b", "vector", (4,))
AHEAD, WITHIN, BEHIND = Phase


def found(operations: list[Operation], results: dict[str, str], timeless: set[str]) -> dict[str, Phase]:
    return phases(Program((*ROWS, *WEIGHTS, BIAS), tuple(operations), tuple(results.items())), timeless)


ELMAN = [
    Operation("ux", "matmul", ("x", "u")),
    Operation("uxb", "add", ("ux", "b")),
    Operation("wh", "matmul", ("h", "w")),
    Operation("sum", "add", ("uxb", "wh")),
    Operation("new", "tanh", ("sum",)),
    Operation("read", "matmul", ("sum", "v")),
    Operation("y", "tanh", ("read",)),
]


def test_a_recurrence_waits_for_nothing_but_the_state() -> None:
    assert found(ELMAN, {"h": "new", "y": "y"}, {"x", "y"}) == {
        "ux": AHEAD, "uxb": AHEAD, "wh": WITHIN, "sum": WITHIN, "new": WITHIN, "read": BEHIND, "y": BEHIND
    }  # fmt: skip


def test_of_a_single_step_all_is_within() -> None:
    assert set(found(ELMAN, {"h": "new", "y": "y"}, set()).values()) == {WITHIN}


def test_what_reads_a_state_where_it_lies_is_within() -> None:
    """The new state lies where only one step has room: a matmul of it cannot wait."""
    read = [*ELMAN[:5], Operation("read", "matmul", ("new", "v")), Operation("y", "tanh", ("read",))]
    assert found(read, {"h": "new", "y": "y"}, {"x", "y"})["read"] == WITHIN
    sliced = [
        *ELMAN[:5],
        Operation("part", "slice", ("new",), (0, 3)),
        Operation("read", "matmul", ("part", "u")),
        Operation("y", "tanh", ("read",)),
    ]
    assert found(sliced, {"h": "new", "y": "y"}, {"x", "y"})["read"] == WITHIN


def test_a_chain_is_behind_as_a_whole_or_not_at_all() -> None:
    """One operation of it reads the state: the matmul before it must be there by then."""
    chain = [*ELMAN[:5], Operation("read", "matmul", ("sum", "w")), Operation("y", "add", ("read", "h"))]
    made = found(chain, {"h": "new", "y": "y"}, {"x", "y"})
    assert made["read"] == made["y"] == WITHIN


def test_what_is_made_anew_of_a_state_reads_it() -> None:
    """Turned round or repeated, the state is read where that is done: in the stage that takes it."""
    for kind, value, form in [("take", "h", (3, 4, -1)), ("broadcast", "single", (4,))]:
        chain = [
            *ELMAN[:5],
            Operation("single", "slice", ("h",), (1, 2)),
            Operation("moved", kind, (value,), form),
            Operation("read", "matmul", ("sum", "w")),
            Operation("y", "add", ("read", "moved")),
        ]
        made = found(chain, {"h": "new", "y": "y"}, {"x", "y"})
        assert made["read"] == made["y"] == WITHIN


def test_a_state_of_the_input_alone_is_made_in_its_place() -> None:
    """It is no recurrence at all, but what it makes is a state, of which only one step's room there is."""
    made = found([Operation("new", "matmul", ("x", "u"))], {"h": "new"}, {"x"})
    assert made == {"new": WITHIN}
    parts = [
        Operation("left", "matmul", ("x", "u")),
        Operation("right", "tanh", ("h",)),
        Operation("both", "concat", ("left", "right")),
    ]
    program = Program((*ROWS, *WEIGHTS), tuple(parts), (("h2", "both"),))
    assert set(phases(program, {"x"}).values()) == {WITHIN}


def test_costly_operations_are_done_ahead_and_cheap_ones_where_they_are_used() -> None:
    gated = [
        Operation("ux", "matmul", ("x", "u")),
        Operation("gate", "sigmoid", ("ux",)),
        Operation("twice", "mul", ("gate", 2.0)),
        Operation("mean", "sum", ("ux",)),
        Operation("flat", "broadcast", ("mean",), (4,)),
        Operation("kept", "mul", ("twice", "h")),
        Operation("new", "add", ("kept", "flat")),
    ]
    made = found(gated, {"h": "new"}, {"x"})
    assert [n for n, phase in made.items() if phase == AHEAD] == ["ux", "gate", "mean"]
    assert set(made.values()) == {AHEAD, WITHIN}
