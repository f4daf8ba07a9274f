"""The contract of a task: how data become tensors, which model, loss, metrics, and what the user gets back.

Reading options, training, checkpoints, run directories, reports, the command line and the Python estimators are written
once, elsewhere, against this contract. Adding a task is one file here and one line in ``tasks/__init__.py``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, NamedTuple, TypeVar

import polars as pl
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from echoic.insight.report import Section
from echoic.models.settings import RecurrentSettings
from echoic.training.contract import Batches
from echoic.training.settings import Training

Part = TypeVar("Part")
Metrics = dict[str, float]


class DataSettings(BaseModel):
    """Options that say what the data mean. Tasks subclass it."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    validation: Path | None = Field(default=None, description="validation data in a file of its own")
    test: Path | None = Field(default=None, description="test data in a file of its own")


class RunSettings(BaseModel):
    """Where and how exactly the computation runs."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    seed: int = Field(default=0, ge=0, le=2**32 - 1, description="seed of every random choice")
    precision: Literal["float32", "high", "bf16"] = Field(
        default="float32", description="high: products of 16 significant bits, bf16: autocast, where the device can"
    )
    device: str = Field(default="auto", description="cpu, cuda or auto")


class TaskSettings(BaseModel):
    """All options of a task in four groups. A field's name is unique over the groups, so that the command line and
    the estimators can take them flat; each group belongs to the part of the code that reads it."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    data: DataSettings = Field(default_factory=DataSettings)
    model: RecurrentSettings = Field(default_factory=RecurrentSettings)
    training: Training = Field(default_factory=Training)
    run: RunSettings = Field(default_factory=RunSettings)


@dataclass
class Splits(Generic[Part]):
    """The data of a training: parts that share no target."""

    train: Part
    validation: Part
    test: Part | None


class OwnFormat(NamedTuple):
    """Predictions in the format of their source.

    text: the whole file.
    rows: how many predictions it holds.
    """

    text: str
    rows: int


@dataclass
class Evaluation:
    """What a model reaches on a part.

    metrics: lower snake case names to values.
    baselines: the same metrics of simple methods on the same rows, by the method's name.
    details: whatever the task's own report sections need (confusion matrix, forecasts drawn over truth).
    """

    metrics: Metrics
    baselines: dict[str, Metrics] = field(default_factory=dict)
    details: Any = None


class Task(ABC, Generic[Part]):
    """One kind of job.

    Args:
        settings: all options of the task.
        preprocessing: vocabularies, scalers, column names, as fitted by ``prepare`` or read from a run directory.
    """

    name: ClassVar[str]  # the TASK of the command line
    summary: ClassVar[str]  # one line for --help
    Settings: ClassVar[type[TaskSettings]]
    Preprocessing: ClassVar[type[BaseModel]]  # plain JSON when saved
    promoted: ClassVar[tuple[str, ...]]  # fields that are command-line options of their own, besides the common ones
    own_endings: ClassVar[tuple[str, ...]] = ()  # of files that ``predict_alike`` writes, besides tables

    def __init__(self, settings: TaskSettings, preprocessing: Any = None) -> None:
        self.settings = settings
        self.preprocessing = preprocessing

    @abstractmethod
    def prepare(self, source: Any) -> Splits[Part]:
        """Read and check the source, cut it in parts, and fit ``self.preprocessing`` on the training part alone.

        source: path of a file or folder, or a polars DataFrame; a task may accept more.
        """

    @abstractmethod
    def read(self, source: Any) -> Part:
        """Read data for ``evaluate`` with the preprocessing as fitted."""

    @abstractmethod
    def build_model(self) -> nn.Module:
        """A new model (see ``training.contract.Trainable``) from the settings and the preprocessing alone."""

    @abstractmethod
    def batches(self, part: Part, training: bool) -> Batches:
        """Batches of a part: shuffled for training, in a fixed order otherwise."""

    @abstractmethod
    def evaluate(self, model: nn.Module, part: Part, train: Part | None = None) -> Evaluation:
        """Metrics of a model on a part; baselines too, where they can be computed (some need the training part)."""

    def validate(self, model: nn.Module, part: Part) -> Metrics:
        """Metrics during training; the one named "loss" decides which checkpoint is best. Lower is better."""
        from echoic.training.validation import mean_loss

        return {"loss": mean_loss(model, self.batches(part, training=False))}

    @abstractmethod
    def predict(self, model: nn.Module, source: Any) -> pl.DataFrame:
        """Predictions for data without targets, as a table of the same shape as the source."""

    def predict_alike(self, model: nn.Module, source: Any) -> OwnFormat | None:
        """Predictions in the source's own format, for a file with one of ``own_endings``; None: it is a table."""
        return None

    @abstractmethod
    def sections(self, model: nn.Module, splits: Splits[Part], evaluation: Evaluation) -> list[Section]:
        """The task's own sections of the report, from the evaluation on test (or validation where there is none)."""
