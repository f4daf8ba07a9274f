"""Programs as JSON: exact there and back, and nothing but ProgramError for whatever else is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.program.random_programs import programs

from echoic.errors import ProgramError
from echoic.program import Operation, Program, Source, from_json, to_json
from echoic.program.json_form import MAX_CHARACTERS

TEXTS = st.sampled_from(["x0", "v0", "v1", "row", "matrix", "add", "slice", "inf", "-inf", "nan", ""]) | st.text(
    max_size=3
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 9)
    | st.sampled_from([2**24, 2**24 + 1, 2**63, 10**400, -(10**400), 1e308])
    | st.floats()
    | TEXTS
)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=8
)
EXAMPLE = Program(
    (Source("x0", "row", (3,)), Source("w", "matrix", (3, 2))),
    (
        Operation("v0", "add", ("x0", 0.1)),
        Operation("v1", "matmul", ("v0", "w")),
        Operation("v2", "slice", ("v1",), (1, 2)),
        Operation("v3", "maximum", ("v2", float("-inf"))),
        Operation("v4", "concat", ("v3", "v0")),
    ),
    (("out", "v4"), ("again", "v4")),
)


def tries(count: int) -> settings:
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


def read(text: str) -> Program | None:
    """A program, or None where the text is refused as it should be."""
    try:
        return from_json(text)
    except ProgramError:
        return None


@tries(100)
@given(programs())
def test_there_and_back_is_exact(program: Program) -> None:
    text = to_json(program)
    assert from_json(text) == program
    assert to_json(from_json(text)) == text


@pytest.mark.parametrize("number", [0.1, -0.0, 1e-320, 1.7976931348623157e299, 3.0, float("inf"), float("-inf")])
def test_numbers_are_exact(number: float) -> None:
    program = Program((Source("x", "row", (1,)),), (Operation("v", "add", ("x", number)),), (("r", "v"),))
    found = from_json(to_json(program)).operations[0].operands[1]
    assert isinstance(found, float)
    assert found.hex() == number.hex()


def test_it_is_readable() -> None:
    lines = to_json(EXAMPLE).splitlines()
    assert '  ["v0", "add", ["x0", [0.1]], []],' in lines
    assert '  ["v3", "maximum", ["v2", ["-inf"]], []],' in lines
    assert len(lines) == 16  # one for each source, operation and result, and seven of brackets


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 1"),
        ({"version": None}, "version 1"),
        ({"sources": None}, "expected a list"),
        ({"sources": [["x", "row"]]}, "list of 3"),
        ({"sources": [[1, "row", [3]]]}, "expected text"),
        ({"sources": [["x", "row", 3]]}, "expected a list"),
        ({"sources": [["x", "row", [3.0]]]}, "whole numbers"),
        ({"sources": [["x", "row", [True]]]}, "whole numbers"),
        ({"sources": [["x", "row", [2**41]]]}, "whole numbers"),
        ({"operations": [["v", "tanh", ["x0"]]]}, "list of 4"),
        ({"operations": [["v", "tanh", [1.0], []]]}, "expected a list"),
        ({"operations": [["v", "tanh", [[]], []]]}, r"a name or \[number\]"),
        ({"operations": [["v", "tanh", [["nan"]], []]]}, r"a name or \[number\]"),
        ({"operations": [["v", "tanh", [[True]], []]]}, r"a name or \[number\]"),
        ({"operations": [["v", "add", ["x0", [10**400]], []]]}, r"a name or \[number\]"),
        ({"results": [["out"]]}, "list of 2"),
        ({"results": [["out", 3]]}, "expected text"),
    ],
)
def test_what_is_wrong_is_said(change: dict[str, Any], message: str) -> None:
    data = json.loads(to_json(EXAMPLE)) | change
    with pytest.raises(ProgramError, match=message):
        from_json(json.dumps(data))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "NaN", "[" * 100_000, '{"version": 1' + "0" * 5000 + "}"])
def test_no_json_is_refused(text: str) -> None:
    with pytest.raises(ProgramError):
        from_json(text)


def test_nan_cannot_come_in_as_a_number() -> None:
    for word in ("NaN", "Infinity", "-Infinity", "1e999"):
        text = to_json(EXAMPLE).replace("[0.1]", f"[{word}]")
        with pytest.raises(ProgramError):
            from_json(text)


def test_length_is_bounded_before_anything_is_read() -> None:
    with pytest.raises(ProgramError, match="characters"):
        from_json(" " * (MAX_CHARACTERS + 1))


@tries(300)
@given(JSON)
def test_any_json_is_read_or_refused(data: Any) -> None:
    read(json.dumps(data))
    if isinstance(data, dict):
        read(json.dumps({"version": 1, "sources": [], "operations": [], "results": []} | data))


@tries(500)
@given(st.data())
def test_a_damaged_program_is_read_or_refused(data: Any) -> None:
    """Any part of a good program replaced by anything, or taken away, or doubled."""
    tree = json.loads(to_json(data.draw(st.just(EXAMPLE) | programs(most=4))))
    for _ in range(data.draw(st.integers(1, 3))):
        here: Any = tree
        while True:
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            if not keys:
                break
            key = data.draw(st.sampled_from(keys))
            if isinstance(here[key], list | dict) and here[key] and data.draw(st.integers(0, 3)):
                here = here[key]
                continue
            what = data.draw(st.sampled_from(["replace", "drop", "double"]))
            if what == "replace":
                here[key] = data.draw(JSON)
            elif what == "drop":
                del here[key]
            elif isinstance(here, list):
                here.insert(key, here[key])
            break
    program = read(json.dumps(tree))
    if program is not None:
        assert from_json(to_json(program)) == program


@tries(300)
@given(st.data())
def test_damaged_text_is_read_or_refused(data: Any) -> None:
    text = to_json(EXAMPLE)
    at = data.draw(st.integers(0, len(text)))
    read(text[:at] + data.draw(st.text(max_size=3)) + text[at + data.draw(st.integers(0, 3)) :])
