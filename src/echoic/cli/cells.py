"""``echoic cells``."""

from __future__ import annotations

import inspect
import textwrap
from typing import Annotated, Any

import typer

from echoic.cells import Cell, build_cell, registered_cells
from echoic.cli.console import AsJson, Debug, new_app, print_json

app = new_app()


@app.command()
def cells(
    input_size: Annotated[int, typer.Option(min=1, help="features of an input")] = 64,
    hidden_size: Annotated[int, typer.Option(min=1, help="features of the hidden state")] = 128,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Every cell with its equations and parameter count."""
    described = [_describe(name, kind, input_size, hidden_size) for name, kind in registered_cells().items()]
    if as_json:
        print_json({"input_size": input_size, "hidden_size": hidden_size, "cells": described})
        return
    for cell in described:
        print(f"{cell['name']}: {cell['summary']}\n    {cell['paper']}")
        print(textwrap.indent(textwrap.dedent(str(cell["equations"])).strip(), "    "))
        if cell["input_layout"]:
            print(f"    inputs: {cell['input_layout']}")
        if cell["options"]:
            print(f"    options: {', '.join(cell['options'])}")
        sizes = f"input size {cell['input_size']}, hidden size {cell['hidden_size']}"
        print(f"    {cell['parameters']:,} parameters for {sizes}\n")


def _describe(name: str, kind: type[Cell], input_size: int, hidden_size: int) -> dict[str, Any]:
    """What is shown of a cell; where it cannot have the sizes, at the next it can."""
    cell = build_cell(name, *kind.nearest_sizes(input_size, hidden_size))
    return {
        "name": name,
        "summary": (kind.__doc__ or "").strip().splitlines()[0],
        "paper": (inspect.getmodule(kind).__doc__ or "").strip().splitlines()[0],
        "equations": kind.equations,
        "input_layout": cell.input_layout,
        "options": list(inspect.signature(kind).parameters)[2:],
        "input_size": cell.input_size,
        "hidden_size": cell.hidden_size,
        "parameters": sum(parameter.numel() for parameter in cell.parameters()),
    }
