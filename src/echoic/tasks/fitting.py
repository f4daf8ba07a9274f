"""From a source of data to a trained model with its metrics and report: the same steps for every task."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from echoic import notices
from echoic.insight.gradients import GradientReach, gradient_by_lag
from echoic.insight.report import ReportContent, render_report
from echoic.runs import RunDirectory, fingerprint, versions
from echoic.tasks.base import Evaluation, Splits, Task
from echoic.tasks.saved import save_model
from echoic.training.trainer import Outcome, Trainer

REACH = 400  # steps: the longest lag for which the gradient is measured after a training


@dataclass
class Fitted:
    """A trained model, what it reaches, and how the training went."""

    task: Task
    model: nn.Module
    metrics: dict[str, Any]
    outcome: Outcome


@dataclass
class Destination:
    """Where a training leaves its run.

    run: the directory, or None to keep everything in memory.
    resume: continue from the checkpoints in it.
    overwrite: replace a run that is there.
    command: the command line that made it, for the record.
    """

    run: RunDirectory | None = None
    resume: bool = False
    overwrite: bool = False
    command: tuple[str, ...] = ()


def fit(task: Task, source: Any, destination: Destination) -> Fitted:
    """Prepare the data, train, score on validation and test beside the baselines, and write the run.

    Nothing is written before the data have been read and checked.
    """
    started = time.monotonic()
    run = destination.run
    if run is not None and not destination.resume:
        run.check_free(destination.overwrite)
    with notices.collected() as said:
        splits = task.prepare(source)
        _seed(task.settings.run.seed)
        model = task.build_model()
        trainer = _trainer(task, model, splits)  # before the run: refuses a device that is not there
        with run.claimed() if run is not None else contextlib.nullcontext():
            if run is not None:
                _open_run(task, source, destination, run)
            trainer.spent = time.monotonic() - started  # reading the data counts towards max_minutes
            outcome = trainer.run(run.path if run is not None else None, resume=destination.resume)
            metrics, evaluation = _score(task, model, splits, outcome)
            fitted = Fitted(task, model, metrics, outcome)
            if run is not None:
                save_model(run.model, task, model)
                run.write_report(_report(fitted, splits, evaluation, destination, said))
                run.write_metrics(fitted.metrics)  # last: a run with metrics is a finished run
    return fitted


def _seed(seed: int) -> None:
    torch.manual_seed(seed)


def _open_run(task: Task, source: Any, destination: Destination, run: RunDirectory) -> None:
    if destination.resume:  # how long to train may have changed
        run.write_config({**run.config(), "settings": task.settings.model_dump(mode="json")})
        return
    run.create(destination.overwrite)
    run.write_config(
        {
            "task": task.name,
            "settings": task.settings.model_dump(mode="json"),
            "data": fingerprint(source),
            "versions": versions(),
            "threads": torch.get_num_threads(),
            "command": list(destination.command),
        }
    )


def _trainer(task: Task, model: nn.Module, splits: Splits) -> Trainer:
    settings = task.settings
    return Trainer(
        model,
        task.batches(splits.train, training=True),
        lambda trained: task.validate(trained, splits.validation),
        settings.training,
        device=settings.run.device,
        precision=settings.run.precision,
    )


def _score(task: Task, model: nn.Module, splits: Splits, outcome: Outcome) -> tuple[dict[str, Any], Evaluation]:
    """What metrics.json holds, and the evaluation on test (on validation where there is no test part)."""
    started = time.monotonic()
    validation = task.evaluate(model, splits.validation)
    last = task.evaluate(model, splits.test, splits.train) if splits.test is not None else None
    if last is None:
        last = task.evaluate(model, splits.validation, splits.train)
    numbers = {
        "validation": validation.metrics,
        "test": last.metrics if splits.test is not None else {},
        "baselines": last.baselines,
        "seconds": outcome.seconds,
        "scoring_seconds": time.monotonic() - started,
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": outcome.steps,
        "epochs": outcome.epochs,
        "stopped_because": outcome.stopped_because,
        "loader_share": outcome.loader_share,
        "padding_share": outcome.padding_share,
    }
    return numbers, last


def gradient_reach(task: Task, model: nn.Module, splits: Splits) -> GradientReach:
    """How far back learning reaches, measured on the first batch of the validation part."""
    batch = next(iter(task.batches(splits.validation, training=False).epoch(0)))
    return gradient_by_lag(model, batch, REACH)


def _report(fitted: Fitted, splits: Splits, evaluation: Any, destination: Destination, said: list[str]) -> str:
    task, outcome = fitted.task, fitted.outcome
    assert destination.run is not None
    config = destination.run.config()
    content = ReportContent(
        title=str(destination.run.path.name),
        task=task.name,
        command=" ".join(config["command"]),
        metrics=fitted.metrics,
        history=outcome.history,
        health=outcome.health,
        reach=gradient_reach(task, fitted.model, splits),
        sections=task.sections(fitted.model, splits, evaluation),
        notices=list(said),
        config=config,
    )
    return render_report(content)
