"""``echoic train TASK DATA --out RUN``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from echoic.cli.console import AsJson, Debug, new_app, print_json, print_metrics, say
from echoic.cli.task_options import with_task_options
from echoic.runs import RunDirectory
from echoic.tasks import registered_tasks
from echoic.tasks.base import Task
from echoic.tasks.fitting import Destination, Fitted, fit
from echoic.tasks.options import settings_from
from echoic.tasks.resuming import resumed_settings

app = new_app()


@app.callback()
def train() -> None:
    """Train a model on your own data."""


def _command(kind: type[Task]) -> Callable[..., None]:
    def train_task(
        data: Annotated[Path, typer.Argument(help="file with the data", show_default=False)],
        out: Annotated[Path, typer.Option(help="run directory to write", show_default=False)],
        resume: Annotated[bool, typer.Option("--resume", help="continue the run in --out")] = False,
        overwrite: Annotated[bool, typer.Option("--overwrite", help="replace the run in --out")] = False,
        as_json: AsJson = False,
        debug: Debug = False,
        *,
        options: dict[str, Any],
    ) -> None:
        run = RunDirectory(out)
        if resume:
            settings = resumed_settings(run, kind.name, kind.Settings, options, data)
        else:
            settings = settings_from(kind.Settings, options)
        fitted = fit(kind(settings), data, Destination(run, resume, overwrite, ("echoic", *sys.argv[1:])))
        _tell(fitted, run, as_json)

    return with_task_options(train_task, kind)


def _tell(fitted: Fitted, run: RunDirectory, as_json: bool) -> None:
    if as_json:
        print_json({"run": str(run.path), "task": fitted.task.name, **fitted.metrics})
        return
    scored = fitted.metrics["test"] or fitted.metrics["validation"]
    print_metrics({"model": scored, **fitted.metrics["baselines"]})
    say(f"{fitted.outcome.stopped_because}\nreport: {run.path / 'report.html'}")


for _kind in registered_tasks().values():
    app.command(_kind.name, help=_kind.summary)(_command(_kind))
