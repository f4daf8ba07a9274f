"""Programs as readable JSON, and back; what is read is checked before anything is made of it."""

from __future__ import annotations

import json
import math
from typing import Any

from echoic.errors import ProgramError
from echoic.program.program import Operand, Operation, Program, Source

VERSION = 1
MAX_CHARACTERS = 16 * 2**20


def to_json(program: Program) -> str:
    """A program as JSON text: a line for each source, operation and result."""
    sources = [[s.name, s.kind, list(s.shape)] for s in program.sources]
    operations = [
        [o.name, o.kind, [_number_out(x) for x in o.operands], list(o.attributes)] for o in program.operations
    ]
    parts = {"sources": sources, "operations": operations, "results": [list(r) for r in program.results]}
    lines = [f'"{name}": [\n' + ",\n".join("  " + json.dumps(x) for x in part) + "\n]" for name, part in parts.items()]
    return "{" + f'"version": {VERSION},\n' + ",\n".join(lines) + "}\n"


def from_json(text: str) -> Program:
    """The program of a JSON text.

    Raises:
        ProgramError: too long, no JSON, another version, parts missing or of another type, a malformed program.
    """
    if len(text) > MAX_CHARACTERS:
        raise ProgramError(f"program: found {len(text)} characters, expected at most {MAX_CHARACTERS}.")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProgramError(f"program: found no JSON: {error}.") from None
    if not isinstance(data, dict) or data.get("version") != VERSION:
        raise ProgramError(f"program: expected an object with version {VERSION}.")
    sources = [Source(_text(n), _text(k), _whole(s)) for n, k, s in _records(data, "sources", 3)]
    operations = [
        Operation(_text(n), _text(k), tuple(_number_in(x) for x in _list(o)), _whole(a))
        for n, k, o, a in _records(data, "operations", 4)
    ]
    results = [(_text(name), _text(value)) for name, value in _records(data, "results", 2)]
    return Program(tuple(sources), tuple(operations), tuple(results))


def _number_out(operand: Operand) -> Any:
    """A number is put in a list, so that no name is taken for it; infinities have no JSON and are words."""
    if isinstance(operand, str):
        return operand
    return [operand if math.isfinite(operand) else str(operand)]


def _number_in(value: Any) -> Operand:
    if isinstance(value, str):
        return value
    inner = _list(value)
    if len(inner) == 1 and inner[0] in ("inf", "-inf"):
        return float(inner[0])
    if len(inner) != 1 or type(inner[0]) not in (int, float) or abs(inner[0]) > 1e300:
        raise ProgramError(f"program: found operand {value!r}, expected a name or [number].")
    return float(inner[0])


def _records(data: dict[str, Any], name: str, size: int) -> list[list[Any]]:
    records = _list(data.get(name))
    for record in records:
        if len(_list(record)) != size:
            raise ProgramError(f"program, {name}: found {record!r}, expected a list of {size}.")
    return records


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ProgramError(f"program: found {value!r}, expected a list.")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ProgramError(f"program: found {value!r}, expected text.")
    return value


def _whole(value: Any) -> tuple[int, ...]:
    numbers = _list(value)
    if any(type(number) is not int or abs(number) > 2**40 for number in numbers):
        raise ProgramError(f"program: found {value!r}, expected whole numbers.")
    return tuple(numbers)
