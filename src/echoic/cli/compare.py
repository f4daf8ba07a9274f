"""``echoic compare RUN RUN...``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from echoic.cli.console import AsJson, Debug, new_app, print_json, print_table
from echoic.errors import OptionError
from echoic.insight.comparison import compare_runs
from echoic.runs import RunDirectory

app = new_app()


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(help="two or more run directories", show_default=False)],
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Runs side by side: what differs in their options, then what they reach."""
    if len(runs) < 2:
        raise OptionError(f"found {len(runs)} run, expected two or more to compare.")
    directories = [RunDirectory(path).open() for path in runs]
    comparison = compare_runs([(str(d.path), d.config(), d.metrics()) for d in directories])
    if as_json:
        print_json(comparison.as_json())
        return
    print_table(comparison.header, comparison.rows)
