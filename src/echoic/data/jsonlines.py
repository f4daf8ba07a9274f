"""JSON lines into columns: one flat object a line."""

from __future__ import annotations

import json

import polars as pl

from echoic.errors import DataError


def parse_jsonlines(content: bytes, source: str) -> tuple[pl.DataFrame, list[int]]:
    """Columns of numbers, booleans or texts, in the order in which names first appear; and the line of each record.

    A name that a line lacks is a missing value there. A column with values of several kinds becomes text.
    Raises DataError for a line that is no JSON object, or holds a list or an object.
    """
    columns: dict[str, list] = {}
    lines: list[int] = []
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        record = _record(line, source, number)
        for name in record.keys() - columns.keys():
            columns[name] = [None] * len(lines)
        for name, values in columns.items():
            values.append(record.get(name))
        lines.append(number)
    if not lines or not columns:
        raise DataError(
            source, "no records", "a JSON object in each line", 'Write lines such as {"text": "...", "label": "..."}.'
        )
    first = list(_record(content.split(b"\n", lines[0])[lines[0] - 1], source, lines[0]))
    order = [*first, *(name for name in columns if name not in first)]
    return pl.DataFrame([_series(name, columns[name]) for name in order]), lines


def _record(line: bytes, source: str, number: int) -> dict:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(
            source, f"a line that is no JSON ({error})", "a JSON object in each line", "Mend the line.", number
        ) from error
    if not isinstance(record, dict):
        raise DataError(
            source, f"a {type(record).__name__}", "a JSON object with names and values", "Mend the line.", number
        )
    for name, value in record.items():
        if isinstance(value, (list, dict)):
            raise DataError(
                source, f"a {'list' if isinstance(value, list) else 'nested object'}", "a number, a text or null",
                "Give each value a name of its own.", number, name,
            )  # fmt: skip
        if not name.strip():
            raise DataError(source, "a value without a name", "a name for every value", "Name it.", number)
    return record


def _series(name: str, values: list) -> pl.Series:
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool}:
        return pl.Series(name, values, dtype=pl.Boolean if kinds else pl.String)
    if kinds <= {int} and all(abs(value) < 2**63 for value in values if value is not None):
        return pl.Series(name, values, dtype=pl.Int64)
    if kinds <= {int, float} and all(abs(value) < 2**63 for value in values if isinstance(value, int)):
        return pl.Series(name, [None if value is None else float(value) for value in values], dtype=pl.Float64)
    texts = [value if value is None or isinstance(value, str) else json.dumps(value) for value in values]
    return pl.Series(name, [_valid(text) for text in texts], dtype=pl.String)


def _valid(text: str | None) -> str | None:
    """JSON can spell half of a surrogate pair, which no text can hold."""
    return text if text is None else text.encode("utf-8", "replace").decode("utf-8")
