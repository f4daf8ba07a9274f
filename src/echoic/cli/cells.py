"""``echoic cells``."""

from __future__ import annotations

from typing import Annotated

import typer

from echoic.cells import build_cell, registered_cells
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
    described = [
        {
            "name": name,
            "summary": (kind.__doc__ or "").strip().splitlines()[0],
            "equations": kind.equations,
            "parameters": sum(p.numel() for p in build_cell(name, input_size, hidden_size).parameters()),
        }
        for name, kind in registered_cells().items()
    ]
    if as_json:
        print_json({"input_size": input_size, "hidden_size": hidden_size, "cells": described})
        return
    for cell in described:
        print(f"{cell['name']}: {cell['summary']}")
        print("\n".join(f"    {line.strip()}" for line in str(cell["equations"]).strip().splitlines()))
        print(f"    {cell['parameters']:,} parameters for input size {input_size}, hidden size {hidden_size}\n")
