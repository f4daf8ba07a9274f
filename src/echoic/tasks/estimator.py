"""The tasks as Python estimators in the manner of scikit-learn: ``Forecaster(horizon=24).fit(table)``."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, ClassVar, Self

import polars as pl
from torch import nn

from echoic.cells import Cell
from echoic.errors import EchoicError
from echoic.runs import RunDirectory, fingerprint, versions
from echoic.tasks import task_named
from echoic.tasks.base import Task
from echoic.tasks.fitting import Destination, Fitted, fit
from echoic.tasks.options import flat_values, options_of, settings_from
from echoic.tasks.resuming import resumed_settings
from echoic.tasks.saved import load_model, save_model


class NotFittedError(EchoicError, ValueError, AttributeError):
    """``predict``, ``evaluate`` or ``save`` was called before ``fit``."""


class Estimator:
    """A task with its options, fitted or not.

    Args:
        **options: any option of the task under its flat name, as on the command line (``hidden_size=64``).

    Raises OptionError for a name or a value that cannot be. ``get_params`` and ``set_params`` work as scikit-learn's,
    so that ``sklearn.base.clone`` and searches over options do.
    """

    kind: ClassVar[type[Task]]

    def __init_subclass__(cls) -> None:
        keywords = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=option.field.get_default(call_default_factory=True)
            )
            for name, option in options_of(cls.kind.Settings).items()
        ]
        cls.__signature__ = inspect.Signature(keywords)  # what help() and editors show

    def __init__(self, **options: Any) -> None:
        settings_from(self.kind.Settings, options)
        self._options = dict(options)
        self._task: Task | None = None
        self._model: nn.Module | None = None
        self.metrics: dict[str, Any] = {}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Every option with its value."""
        return flat_values(self.kind.Settings()) | self._options

    def set_params(self, **options: Any) -> Self:
        """Change options; takes effect at the next ``fit``."""
        merged = self._options | options
        settings_from(self.kind.Settings, merged)
        self._options = merged
        return self

    def fit(self, data: Any, out: str | Path | None = None, resume: bool = False, overwrite: bool = False) -> Self:
        """Train on a file or a table.

        Args:
            data: path, or polars DataFrame; see the task for what else it takes.
            out: run directory to write; None keeps everything in memory.
            resume: continue the run in ``out``.
            overwrite: replace the run in ``out``.
        """
        run = RunDirectory(out) if out is not None else None
        if resume and run is not None:
            settings = resumed_settings(run, self.kind.name, self.kind.Settings, self._options, data)
        else:
            settings = settings_from(self.kind.Settings, self._options)
        command = (f"echoic.{type(self).__name__}", *(f"{k}={v!r}" for k, v in self._options.items()))
        self._adopt(fit(self.kind(settings), data, Destination(run, resume, overwrite, command)))
        return self

    def _adopt(self, fitted: Fitted) -> None:
        self._task, self._model, self.metrics = fitted.task, fitted.model, fitted.metrics

    def fitted(self) -> tuple[Task, nn.Module]:
        """The task with its preprocessing, and the trained model; NotFittedError before ``fit``."""
        if self._task is None or self._model is None:
            raise NotFittedError(
                f"this {type(self).__name__} has no model yet: call fit(data) first, or echoic.load(run)."
            )
        return self._task, self._model

    def predict(self, data: Any) -> pl.DataFrame:
        """Predictions for each row or series of ``data``, as a table of the same shape."""
        task, model = self.fitted()
        return task.predict(model, data)

    def evaluate(self, data: Any) -> dict[str, float]:
        """Metrics on data the model has not seen."""
        task, model = self.fitted()
        return task.evaluate(model, task.read(data)).metrics

    def save(self, out: str | Path, overwrite: bool = False) -> None:
        """Write the model as a run directory that ``echoic.load`` and the command line open."""
        task, model = self.fitted()
        run = RunDirectory(out)
        run.create(overwrite)
        settings = task.settings.model_dump(mode="json")
        run.write_config({"task": task.name, "settings": settings, "data": fingerprint(None), "versions": versions()})
        save_model(run.model, task, model)
        if self.metrics:
            run.write_metrics(self.metrics)

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self._options.items())
        return f"{type(self).__name__}({options})"


class Forecaster(Estimator):
    """Forecasts of tables of numbers over time."""

    kind = task_named("forecast")


class Generator(Estimator):
    """A language model of characters or subwords that writes text."""

    kind = task_named("generate")

    def generate(self, prompt: str = "", **sampling: Any) -> str:
        """Text that continues a prompt; ``sampling`` are the fields of ``models.sampling.Sampling``."""
        return "".join(self.stream(prompt, **sampling))

    def stream(self, prompt: str = "", **sampling: Any) -> Any:
        """The same text as an iterator of pieces, each as soon as it is there."""
        from echoic.models.sampling import Sampling

        task, model = self.fitted()
        return task.generate(model, prompt, Sampling(**sampling))  # pyright: ignore[reportAttributeAccessIssue]


class Classifier(Estimator):
    """Classes of texts or of numeric sequences."""

    kind = task_named("classify")


class Tagger(Estimator):
    """A tag for each token: parts of speech, entities, slots."""

    kind = task_named("tag")

    def tag(self, sentences: Any) -> list[list[str]]:
        """Tags of each sentence: a list of lists of tokens, or of texts that are split into tokens."""
        task, model = self.fitted()
        return task.tag(model, sentences)[1].tags  # pyright: ignore[reportAttributeAccessIssue]


class Translator(Estimator):
    """A text in another language for each text."""

    kind = task_named("translate")


class Summarizer(Estimator):
    """A short text for each long one."""

    kind = task_named("summarize")


ESTIMATORS: dict[str, type[Estimator]] = {
    e.kind.name: e for e in (Forecaster, Generator, Classifier, Tagger, Translator, Summarizer)
}


def load(run: str | Path, cell: str | type[Cell] | None = None) -> Any:
    """Open a run directory: the fitted estimator of its task. Nothing in the directory is executed.

    Args:
        run: the directory.
        cell: file and class of the cell (``path/to/file.py:Class``), or the class, of a run that was trained with one
            of your own. The file is executed.

    Raises:
        RunError, ModelError: a file of the run is missing or damaged.
        CellError: the run's cell is somebody's own and is not named, or is not the one it was trained with.
    """
    directory = RunDirectory(run).open()
    task, model = load_model(directory.model, cell)
    estimator = ESTIMATORS[task.name](**flat_values(task.settings))
    estimator._task, estimator._model = task, model
    if (directory.path / "metrics.json").is_file():
        estimator.metrics = directory.metrics()
    return estimator
