"""Where words go: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from echoic import notices
from echoic.runs.files import finite

AsJson = Annotated[bool, typer.Option("--json", help="print one JSON document on standard output, nothing else there")]
Debug = Annotated[bool, typer.Option("--debug", help="show tracebacks")]
OwnCell = Annotated[
    str | None,
    typer.Option(
        "--cell",
        help="file and class of a run's own cell; the file is run",
        metavar="FILE.py:CLASS",
        show_default=False,
    ),
]


def new_app() -> typer.Typer:
    """A typer app for one verb, in the house's manner."""
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


def show_notices() -> None:
    """Send notices to standard error, each text once."""
    if not any(isinstance(handler, _Once) for handler in notices.logger.handlers):
        notices.logger.addHandler(_Once())
        notices.logger.propagate = False


def say(text: str) -> None:
    """A message to the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


def print_json(document: Any) -> None:
    """The one JSON document of ``--json``; NaN and infinities become null."""
    print(json.dumps(finite(document), ensure_ascii=False, indent=2, allow_nan=False))


def fail(message: str, code: int, as_json: bool) -> int:
    """Tell what went wrong and return the exit code."""
    say(f"echoic: {message}")
    if as_json:
        print_json({"error": message, "exit_code": code})
    return code


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A plain aligned table on standard output: the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells).rstrip())


def print_metrics(columns: Mapping[str, Mapping[str, float]]) -> None:
    """Metrics side by side: a row per metric, a column per model or baseline."""
    names = list(dict.fromkeys(name for metrics in columns.values() for name in metrics))
    rows = [[name, *(_number(metrics.get(name)) for metrics in columns.values())] for name in names]
    print_table(["metric", *columns], rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


class _Once(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self._said:
            self._said.add(text)
            say(f"note: {text}")
