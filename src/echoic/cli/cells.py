"""``echoic cells``."""

from __future__ import annotations

import inspect
import textwrap
from typing import Annotated, Any

import typer

from echoic.cells import Cell, build_cell, cell_named, registered_cells
from echoic.cells.own import adopt, displayed, is_own
from echoic.cli.console import AsJson, Debug, new_app, print_json
from echoic.layers import Recurrent

app = new_app()


@app.command()
def cells(
    cell: Annotated[
        str | None,
        typer.Argument(help="one of them, or FILE.py:CLASS, your own: the file is run", show_default=False),
    ] = None,
    input_size: Annotated[int, typer.Option(min=1, help="features of an input")] = 64,
    hidden_size: Annotated[int, typer.Option(min=1, help="features of the hidden state")] = 128,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Every cell with its equations and parameter count; of one cell also which backend runs it, and why."""
    if cell is None:
        described = [_describe(name, input_size, hidden_size) for name in registered_cells()]
    else:
        name = adopt(cell) if is_own(cell) else cell
        runs_on = Recurrent(_build(name, input_size, hidden_size)).explain().partition(" on ")[2]
        described = [_describe(name, input_size, hidden_size) | {"runs_on": runs_on}]
    if as_json:
        print_json({"input_size": input_size, "hidden_size": hidden_size, "cells": described})
        return
    for one in described:
        print(f"{one['name']}: {one['summary']}\n    {one['paper']}")
        print(textwrap.indent(textwrap.dedent(str(one["equations"])).strip(), "    "))
        if one["input_layout"]:
            print(f"    inputs: {one['input_layout']}")
        if one["options"]:
            print(f"    options: {', '.join(one['options'])}")
        sizes = f"input size {one['input_size']}, hidden size {one['hidden_size']}"
        print(f"    {one['parameters']:,} parameters for {sizes}")
        print(f"    runs on {one['runs_on']}" if "runs_on" in one else "")


def _build(name: str, input_size: int, hidden_size: int) -> Cell:
    """A cell; where it cannot have the sizes, of the next it can."""
    return build_cell(name, *cell_named(name).nearest_sizes(input_size, hidden_size))


def _describe(name: str, input_size: int, hidden_size: int) -> dict[str, Any]:
    """What is shown of a cell. One that gives no equations is shown by its code."""
    kind, cell = cell_named(name), _build(name, input_size, hidden_size)
    return {
        "name": displayed(name) if is_own(name) else name,
        "summary": _first_line(kind.__doc__),
        "paper": _first_line(getattr(inspect.getmodule(kind), "__doc__", None)),
        "equations": kind.equations or inspect.getsource(kind.update),
        "input_layout": cell.input_layout,
        "options": list(inspect.signature(kind).parameters)[2:],
        "input_size": cell.input_size,
        "hidden_size": cell.hidden_size,
        "parameters": sum(parameter.numel() for parameter in cell.parameters()),
    }


def _first_line(text: str | None) -> str:
    return ((text or "").strip().splitlines() or ["no description"])[0]
