"""classify: a class for each text, or for each sequence of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import polars as pl
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn

from echoic.data.classified import Classified
from echoic.data.examples import Examples, stratified_parts
from echoic.data.feature_scaling import FeatureScaler
from echoic.data.label_column import label_texts
from echoic.data.labelled_tables import Columns, examples_from_table, guess_columns
from echoic.data.labels import LabelSet
from echoic.data.sequences import examples_from_arrays
from echoic.data.table import open_table
from echoic.data.text_units import AnyUnits, UnitOptions, fit_units
from echoic.data.ts_format import is_ts, read_ts
from echoic.errors import DataError
from echoic.insight.classification_sections import Foretold, classification_sections
from echoic.insight.report import Section
from echoic.metrics.classification import classification_metrics
from echoic.models.classifier import ClassifierSettings, NumberInput, SequenceClassifier, SymbolInput
from echoic.notices import notice
from echoic.tasks.base import DataSettings, Evaluation, Metrics, Splits, Task, TaskSettings
from echoic.training.contract import Batches
from echoic.training.settings import Rate, Training
from echoic.training.validation import device_of, to_device

PREDICTION, PROBABILITY = "prediction", "probability_"
FEWEST = 4  # examples from which anything can be trained and judged


class ClassifyData(DataSettings):
    """What the table holds."""

    input: list[str] = Field(
        default_factory=list, description="column of texts, or columns of numbers (none: guessed from the table)"
    )
    label: str | None = Field(default=None, description="column with the class (none: guessed)")
    series: str | None = Field(default=None, description="column that tells sequences apart, for a row per step")
    time: str | None = Field(default=None, description="column that orders the steps of a sequence")
    header: bool | None = Field(default=None, description="whether the first line has the names (none: guessed)")
    unit: Literal["auto", "character", "word", "subword"] = Field(
        default="auto", description="what is read of a text at a time"
    )
    vocabulary_size: int | None = Field(
        default=None, ge=3, le=2**20, description="symbols at most (none: all; 4096 subwords)"
    )
    min_count: int | None = Field(default=None, ge=1, description="units seen fewer times are unknown")
    lowercase: bool = Field(default=True, description="read words in lower case")
    scaling: Literal["each", "together"] = Field(
        default="each", description="each feature by its own mean and deviation, or together (pixels)"
    )
    max_length: int = Field(default=100_000, ge=1, description="steps of a sequence that are read; the rest is cut off")
    validation_share: float = Field(default=0.1, gt=0, lt=1, description="share of the data kept for validation")
    test_share: float = Field(default=0.1, ge=0, lt=1, description="share of the data kept for the test")

    @model_validator(mode="after")
    def _something_left(self) -> ClassifyData:
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share leave nothing to train on")
        return self


class ClassifyTraining(Training):
    """How to train a classifier."""

    learning_rate: Rate = Field(default=3e-3, description='peak rate; "auto" runs the finder')
    averaging: float | None = Field(default=0.98, gt=0, lt=1, description="decay of the running average of the weights")
    max_steps_per_batch: int = Field(
        default=50_000, ge=1, description="sequences times their longest length in a batch, at most; bounds the memory"
    )


class ClassifySettings(TaskSettings):
    """All options of classify."""

    data: ClassifyData = Field(default_factory=ClassifyData)
    model: ClassifierSettings = Field(default_factory=ClassifierSettings)
    training: ClassifyTraining = Field(default_factory=ClassifyTraining)


class ClassifyPreprocessing(BaseModel):
    """Columns, classes, and how inputs become numbers: a vocabulary for texts, a scaler for numbers."""

    model_config = ConfigDict(extra="forbid")

    input: list[str]
    label: str | None
    series: str | None
    time: str | None
    labels: LabelSet
    units: AnyUnits | None = None
    scaler: FeatureScaler | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> ClassifyPreprocessing:
        if (self.units is None) == (self.scaler is None):
            raise ValueError("expected a vocabulary or a scaler, and not both")
        return self


class Classify(Task[Classified]):
    """Foretells the class of a text or of a numeric sequence."""

    name = "classify"
    summary = "a class for each text, or for each numeric sequence"
    Settings = ClassifySettings
    Preprocessing = ClassifyPreprocessing
    promoted = ("input", "label", "series", "time", "unit", "pooling")
    settings: ClassifySettings
    preprocessing: ClassifyPreprocessing

    def prepare(self, source: Any) -> Splits[Classified]:
        """Read, cut in parts of like classes, learn classes and vocabulary or scales from the training part.

        source: path of a table (CSV, TSV, JSON lines, Parquet) of texts, or of numbers with a row for each step; path
            of a .ts file; a DataFrame; a pair (sequences, labels) of texts or of arrays [T] or [T, F].
        """
        data = self.settings.data
        asked = Columns(data.input, data.label, data.series, data.time)
        everything, columns = _read(source, asked, data.header, guess=True)
        everything = _usable(everything)
        files = {"validation": data.validation, "test": data.test}
        given = {name: path for name, path in files.items() if path is not None}
        shares = {"validation": data.validation_share, "test": data.test_share} | dict.fromkeys(given, 0.0)
        LabelSet.fit(everything)  # says what is wrong with the labels before anything is cut
        train, validation, test = stratified_parts(everything, list(shares.values()), self.settings.run.seed)
        parts = {"train": train, "validation": validation, "test": test}
        parts |= {name: _usable(_read(path, columns, data.header)[0]) for name, path in given.items()}
        if not len(parts["validation"]):
            raise DataError(
                everything.source, f"{len(everything)} examples, too few of each class to keep any for validation",
                "several examples of each class", "Give more data, a larger validation_share, or --validation FILE.",
            )  # fmt: skip
        self.preprocessing = self._fit(parts["train"], columns)
        empty_test = not len(parts["test"])
        train, validation, test = (self._encode(part) for part in parts.values())
        return Splits(train, validation, None if empty_test else test)

    def _fit(self, train: Examples, columns: Columns) -> ClassifyPreprocessing:
        data = self.settings.data
        units = scaler = None
        if train.are_texts:
            options = UnitOptions(data.vocabulary_size, data.min_count, data.lowercase)
            units = fit_units(data.unit, train.items, options, train.source)
        else:
            scaler = FeatureScaler.fit(train, together=data.scaling == "together")
        return ClassifyPreprocessing(
            input=columns.input, label=columns.label, series=columns.series, time=columns.time,
            labels=LabelSet.fit(train), units=units, scaler=scaler,
        )  # fmt: skip

    def _encode(self, examples: Examples) -> Classified:
        fitted, longest = self.preprocessing, self.settings.data.max_length
        if examples.are_texts != (fitted.units is not None):
            kinds = ("sequences of numbers", "texts") if fitted.units is not None else ("texts", "sequences of numbers")
            raise DataError(
                examples.source, kinds[0], f"{kinds[1]} as in the training data", "Give data of the same kind."
            )
        if fitted.units is not None:
            inputs = [fitted.units.encode(text) for text in examples.items]
        else:
            assert fitted.scaler is not None
            fitted.scaler.check(examples)
            inputs = [fitted.scaler.encode(values) for values in examples.items]
        if cut := sum(len(values) > longest for values in inputs):
            notice(
                f"{examples.source}: {cut:,} sequences were cut after {longest:,} steps; --set max_length=N changes it."
            )
        inputs = [values[:longest] for values in inputs]
        if empty := sum(not len(values) for values in inputs):
            notice(
                f"{examples.source}: {empty:,} empty sequences are judged by what the model learnt without an input."
            )
        return Classified(examples, inputs, fitted.labels.encode(examples))

    def read(self, source: Any) -> Classified:
        """Read labelled data to be scored."""
        examples = _usable(_read(source, self._columns(), self.settings.data.header)[0])
        return self._encode(examples)

    def _columns(self) -> Columns:
        fitted = self.preprocessing
        return Columns(fitted.input, fitted.label, fitted.series, fitted.time)

    def build_model(self) -> SequenceClassifier:
        """Embedding (texts), recurrent stack, pooling, linear layer."""
        fitted, settings = self.preprocessing, self.settings.model
        if fitted.units is not None:
            inputs: SymbolInput | NumberInput = SymbolInput(fitted.units.size, settings)
        else:
            assert fitted.scaler is not None
            inputs = NumberInput(fitted.scaler.size, settings)
        weights = fitted.labels.balanced_weights() if settings.class_weights == "balanced" else None
        return SequenceClassifier(inputs, fitted.labels.size, settings, weights)

    def batches(self, part: Classified, training: bool) -> Batches:
        """Rows of similar length together, within the bound of steps."""
        options = self.settings.training
        return part.batches(options.batch_size, options.max_steps_per_batch, self.settings.run.seed, training)

    def probabilities(self, model: nn.Module, part: Classified) -> np.ndarray:
        """Of each class for each example, in their order, [N, C]."""
        model.eval()
        classifier, device = cast(SequenceClassifier, model), device_of(model)
        found = np.zeros((len(part), self.preprocessing.labels.size))
        for batch in self.batches(part, training=False).epoch(0):
            found[batch.rows.numpy()] = classifier.probabilities(to_device(batch, device)).double().cpu().numpy()
        return found

    def validate(self, model: nn.Module, part: Classified) -> Metrics:
        """Loss (the weighted one, where classes are weighted), accuracy and macro F1."""
        probabilities = self.probabilities(model, part)
        metrics = classification_metrics(part.labels, probabilities)
        weights = cast(SequenceClassifier, model).class_weights.cpu().numpy()[part.labels]
        nats = -np.log(np.maximum(probabilities[np.arange(len(part)), part.labels], 1e-12))
        return metrics | {"loss": float((weights * nats).sum() / weights.sum())}

    def evaluate(self, model: nn.Module, part: Classified, train: Classified | None = None) -> Evaluation:
        """Accuracy, macro F1 and loss; with the training part the baselines too."""
        probabilities = self.probabilities(model, part)
        metrics = classification_metrics(part.labels, probabilities)
        baselines = {} if train is None else self._baselines(train, part)
        names = self.preprocessing.labels.names
        return Evaluation(metrics, baselines, Foretold(part.examples, part.labels, probabilities, names))

    def _baselines(self, train: Classified, part: Classified) -> dict[str, Metrics]:
        from echoic.baselines.classification import number_baselines, text_baselines  # loads scikit-learn: a second

        classes = self.preprocessing.labels.size
        if part.examples.are_texts:
            fitted, items = text_baselines(train.examples.items, train.labels, classes), part.examples.items
        else:
            fitted, items = number_baselines(train.inputs, train.labels, classes), part.inputs
        return {
            name: classification_metrics(part.labels, baseline.probabilities(items))
            for name, baseline in fitted.items()
        }

    def predict(self, model: nn.Module, source: Any) -> pl.DataFrame:
        """The source's columns (for sequences: what tells them apart), the class foretold, a probability for each."""
        examples = _read(source, self._columns(), self.settings.data.header)[0]
        examples = Examples(
            examples.source, examples.items, [None] * len(examples), examples.rows, examples.table, examples.features
        )  # fmt: skip
        found = self.probabilities(model, self._encode(examples))
        names = self.preprocessing.labels.names
        columns = {PREDICTION: [names[i] for i in found.argmax(axis=1)]}
        columns |= {PROBABILITY + name: found[:, i] for i, name in enumerate(names)}
        if taken := [name for name in columns if name in examples.table.columns]:
            raise DataError(
                examples.source, f'a column "{taken[0]}"', "a table without it", "Rename or drop it."
            )  # fmt: skip
        return examples.table.with_columns([pl.Series(name, values) for name, values in columns.items()])

    def sections(self, model: nn.Module, splits: Splits[Classified], evaluation: Evaluation) -> list[Section]:
        """Confusion matrix, scores of each class, the most confident mistakes."""
        return classification_sections(cast(Foretold, evaluation.details))


def _usable(examples: Examples) -> Examples:
    """Examples with a label; DataError where there are too few."""
    examples = examples.labelled()
    if not len(examples):
        raise DataError(
            examples.source, "no example with a label", "labelled examples", "Name the column: --label NAME."
        )  # fmt: skip
    return examples


def _read(source: Any, columns: Columns, header: bool | None, guess: bool = False) -> tuple[Examples, Columns]:
    """Examples of any source, and which columns they are from.

    header: whether the first line of a CSV or TSV has the names; None guesses.
    guess: what the columns do not say.
    """
    if is_ts(source):
        return read_ts(Path(source)), columns
    if isinstance(source, tuple) and len(source) == 2:
        return _from_memory(*source), columns
    if isinstance(source, list | np.ndarray | torch.Tensor):
        return _from_memory(source, None), columns
    table = open_table(source, header=header, expected=columns.all_names())
    columns = guess_columns(table, columns) if guess else columns
    if not columns.input:
        raise DataError(table.source, "a table", "data of the form trained on", "Give a .ts file, or arrays, as then.")
    return examples_from_table(table, columns), columns


def _from_memory(sequences: Any, labels: Any) -> Examples:
    if len(sequences) and all(isinstance(item, str) for item in sequences):
        texts, rows = list(sequences), list(range(1, len(sequences) + 1))
        return Examples("texts", texts, label_texts(labels, len(texts), "texts"), rows, pl.DataFrame({"text": texts}))
    return examples_from_arrays(sequences, labels)
