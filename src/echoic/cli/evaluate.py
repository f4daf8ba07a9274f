"""``echoic evaluate RUN DATA``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from echoic.cli.console import AsJson, Debug, OwnCell, new_app, print_json, print_metrics
from echoic.runs import RunDirectory
from echoic.tasks.saved import load_model

app = new_app()


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="run directory", show_default=False)],
    data: Annotated[Path, typer.Argument(help="data with the truth in it", show_default=False)],
    cell: OwnCell = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Metrics of a run on data it has not seen."""
    task, model = load_model(RunDirectory(run).open().model, cell)
    evaluation = task.evaluate(model, task.read(data))
    if as_json:
        document = {
            "run": str(run),
            "task": task.name,
            "metrics": evaluation.metrics,
            "baselines": evaluation.baselines,
        }
        print_json(document)
        return
    print_metrics({"model": evaluation.metrics, **evaluation.baselines})
