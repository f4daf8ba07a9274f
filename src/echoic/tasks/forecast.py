"""forecast: numbers over time, continued, with bands that say how sure the forecast is."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from torch import nn

from echoic.baselines.forecast import BASELINES, Linear, seasonally_adjusted_naive
from echoic.data.columns import Columns
from echoic.data.covariates import CovariateScales
from echoic.data.panel import Panel, Part
from echoic.data.panel_reader import Reading, read_panel
from echoic.data.schema import Schema
from echoic.data.splits import Cut, cut, hold_out, later_part
from echoic.data.table import open_table
from echoic.data.target_scaling import ScaledPart, TargetScales, scaled_part
from echoic.data.window_defaults import guess_horizon, guess_lookback, known_features, useful_calendar
from echoic.data.windows import Sampling, Windows, forecast_windows
from echoic.errors import DataError, OptionError
from echoic.insight.forecast_plots import ForecastResults, forecast_sections
from echoic.insight.report import Section
from echoic.metrics.m4 import SEASONS, owa
from echoic.models.backtest import model_forecasts, origins, simple_forecasts
from echoic.models.forecaster import ForecasterSettings, WindowShape
from echoic.models.forecasting import build_forecaster
from echoic.models.heads import HEADS
from echoic.models.normalise import guess_normaliser
from echoic.models.segments import default_segment
from echoic.notices import notice
from echoic.tasks.base import DataSettings, Evaluation, Metrics, Splits, Task, TaskSettings
from echoic.training.contract import Batches
from echoic.training.settings import Rate, Training
from echoic.training.validation import mean_loss

EPOCH_WINDOWS = 20_000  # drawn for an epoch where there are more
VALIDATION_WINDOWS = 2_000  # looked at while training
SCORED_VALUES = 5_000_000  # in an evaluation
LINEAR_WINDOWS = 50_000  # the linear baseline is fitted on


def _split_names(value: Any) -> Any:
    return [name.strip() for name in value.split(",")] if isinstance(value, str) else value


Names = Annotated[list[str], BeforeValidator(_split_names)]  # a name alone, or several with commas, will do


class ForecastData(DataSettings):
    """What the columns of a table mean, and how far to look back and ahead."""

    time: str | None = Field(default=None, description="column with the times (none: guessed)")
    target: Names = Field(default=[], description="columns to forecast (none: guessed)")
    series: Names = Field(default=[], description="columns that tell series apart (none: guessed)")
    known: Names = Field(default=[], description="covariates known in the future")
    past: Names = Field(default=[], description="covariates known in the past only")
    static: Names = Field(default=[], description="what stays the same within a series (none: guessed)")
    horizon: int | None = Field(default=None, ge=1, le=100_000, description="steps to forecast (none: guessed)")
    lookback: int | None = Field(default=None, ge=1, le=100_000, description="past steps that are seen (none: guessed)")
    season: int | None = Field(default=None, ge=1, description="steps in a season (none: by the frequency)")
    split: str | None = Field(default=None, description="training/validation/test, rows or shares")
    frequency: str | None = Field(default=None, description="step between rows, as hourly (none: inferred)")
    gaps: Literal["forward", "interpolate", "zero"] = Field(default="forward", description="what fills gaps")
    duplicates: Literal["error", "mean", "sum", "last"] = Field(default="error", description="repeated rows")
    missing: Names = Field(default=[], description="texts that mean a missing value")
    header: bool | None = Field(default=None, description="whether the first line has the names (none: guessed)")
    calendar: bool = Field(default=True, description="use hour, weekday and so on, seen in two cycles")
    stride: int | None = Field(default=None, ge=1, description="steps between origins of an evaluation")


class ForecastTraining(Training):
    """How to train a forecaster."""

    batch_size: int = Field(default=128, ge=1, description="windows in a batch, times their targets")
    learning_rate: Rate = Field(default=1e-3, description="peak learning rate, or auto")
    epoch_windows: int | None = Field(
        default=None, ge=1, description=f"windows in an epoch (none: all up to {EPOCH_WINDOWS:,})"
    )


class ForecastSettings(TaskSettings):
    """All options of forecast."""

    data: ForecastData = Field(default_factory=ForecastData)
    model: ForecasterSettings = Field(default_factory=ForecasterSettings)
    training: ForecastTraining = Field(default_factory=ForecastTraining)


class ForecastPreprocessing(BaseModel):
    """How a table becomes windows; see ``Forecast.prepare``."""

    model_config = ConfigDict(extra="forbid")

    table: Schema
    horizon: int = Field(ge=1, le=100_000)
    lookback: int = Field(ge=1, le=100_000)
    season: int = Field(ge=1)
    normalise: str
    calendar: tuple[str, ...]
    shape: WindowShape
    targets: TargetScales
    covariates: CovariateScales


class Forecast(Task[ScaledPart]):
    """Continues series of numbers."""

    name = "forecast"
    summary = "forecasts of tables of numbers over time, with quantiles"
    Settings = ForecastSettings
    Preprocessing = ForecastPreprocessing
    promoted = (
        "time", "target", "series", "known", "past", "static", "horizon", "lookback", "head", "model", "split",
        "season", "frequency", "gaps", "duplicates", "missing",
    )  # fmt: skip
    settings: ForecastSettings
    preprocessing: ForecastPreprocessing

    def prepare(self, source: Any) -> Splits[ScaledPart]:
        """Read the table, cut it in time, and learn scales from the training part."""
        data, model = self.settings.data, self.settings.model
        panel = read_panel(source, self._columns(), self._reading())
        if not HEADS[model.head].centred:
            _check_counts(panel)
        horizon = data.horizon or guess_horizon(panel.frequency)
        parts = self._cut(source, panel, horizon)
        season = data.season or panel.frequency.season
        train_rows = parts.train.lengths[parts.train.lengths > 0]
        lookback = data.lookback or guess_lookback(panel.frequency, horizon, season, int(np.median(train_rows)))
        guessed = {"horizon": (data.horizon, horizon), "lookback": (data.lookback, lookback)}
        said = [f"{name} {value}" for name, (given, value) in guessed.items() if given is None]
        if said:
            notice(f"Guessed from steps that are {panel.frequency.name}: {', '.join(said)}.")
        calendar = useful_calendar(parts.train) if data.calendar else ()
        normalise = model.normalise if model.normalise != "auto" else guess_normaliser(len(panel), season)
        train = _with_calendar(parts.train, calendar)
        shape = WindowShape(
            lookback, horizon, panel.targets, train.panel.known.shape[1], panel.past.shape[1], panel.static_sizes,
            panel.static_numbers.shape[1],
        )  # fmt: skip
        self.preprocessing = ForecastPreprocessing(
            table=panel.schema, horizon=horizon, lookback=lookback, season=season, normalise=normalise,
            calendar=calendar, shape=shape, targets=TargetScales.fit(parts.train, parts.validation.end),
            covariates=CovariateScales.fit(train),
        )  # fmt: skip
        if not len(parts.validation):
            raise OptionError(f"split: found {data.split}, which leaves nothing for validation; give it a share.")
        test = self._view(parts.test) if len(parts.test) else None
        return Splits(self._view(parts.train), self._view(parts.validation), test)

    def _columns(self) -> Columns:
        data = self.settings.data
        return Columns(
            time=data.time, target=tuple(data.target), series=tuple(data.series), known=tuple(data.known),
            past=tuple(data.past), static=tuple(data.static),
        )  # fmt: skip

    def _reading(self) -> Reading:
        data = self.settings.data
        return Reading(
            missing=tuple(data.missing), gaps=data.gaps, duplicates=data.duplicates, frequency=data.frequency,
            header=data.header,
        )  # fmt: skip

    def _cut(self, source: Any, panel: Panel, horizon: int) -> Cut:
        """The parts; those in files of their own follow the table's rows."""
        data, schema = self.settings.data, panel.schema
        if data.validation is None and data.test is None:
            return cut(panel, horizon, data.split)
        nothing = Part(panel, panel.history, panel.history)
        if data.validation is None:
            train, validation = hold_out(panel, horizon, data.split)
            files = [source]
        else:
            train, files = Part.whole(panel), [source, data.validation]
            validation = self._later(files, schema)
        test = self._later([*files, data.test], schema) if data.test is not None else nothing
        return Cut(train, validation, test)

    def _later(self, files: list[Any], schema: Schema) -> Part:
        """The rows of the last file, with those of the others before them."""
        joined, last = (read_panel(source, reading=self._reading(), schema=schema) for source in (files, files[-1]))
        return later_part(joined, last)

    def _view(self, part: Part) -> ScaledPart:
        """A part as a model sees it."""
        known = self.preprocessing
        centred = HEADS[self.settings.model.head].centred
        return scaled_part(_with_calendar(part, known.calendar), known.targets, known.covariates, centred)

    def read(self, source: Any) -> ScaledPart:
        """The rows of a table that lie after those trained on; all rows of series that were not trained on."""
        panel = read_panel(source, reading=self._reading(), schema=self.preprocessing.table)
        begin = self.preprocessing.targets.unseen(panel)
        if not (panel.history - begin >= self.preprocessing.horizon).any():
            notice(
                f"{panel.source}: less than a horizon lies after what was trained on; rows seen then are scored too."
            )
            begin = np.zeros_like(begin)
        return self._view(Part(panel, begin, panel.history))

    def build_model(self) -> nn.Module:
        """The model of the settings for windows of the table's shape."""
        known, settings = self.preprocessing, self.settings.model
        segment = settings.segment or default_segment(known.lookback, known.horizon, known.season)
        resolved = settings.model_copy(update={"normalise": known.normalise, "segment": segment})
        return build_forecaster(known.shape, resolved)

    def batches(self, part: ScaledPart, training: bool) -> Batches:
        """Windows, shuffled for training; where there are very many, an epoch draws some."""
        options = self.settings.training
        if not training:
            return self._windows(part, stride=self._stride(part, VALIDATION_WINDOWS))
        wanted = options.epoch_windows or EPOCH_WINDOWS
        windows = self._windows(part, sampling=Sampling(self.settings.run.seed))
        if windows.count > wanted:
            windows.sampling = Sampling(self.settings.run.seed, wanted)
        return windows

    def _windows(self, part: ScaledPart, **options: Any) -> Windows:
        known = self.preprocessing
        return Windows(part.scaled, known.lookback, known.horizon, self._batch_size, **options)

    @property
    def _batch_size(self) -> int:
        """Windows in a batch."""
        return max(1, self.settings.training.batch_size // self.preprocessing.shape.targets)

    def _stride(self, part: ScaledPart, limit: int) -> int:
        """The step between windows at which a part has about ``limit`` at most."""
        windows = int(np.maximum(part.raw.lengths - self.preprocessing.horizon + 1, 0).sum())
        return max(1, -(-windows // limit))

    def validate(self, model: nn.Module, part: ScaledPart) -> Metrics:
        """The loss over a fixed choice of windows."""
        return {"loss": mean_loss(model, self.batches(part, training=False))}

    def evaluate(self, model: nn.Module, part: ScaledPart, train: ScaledPart | None = None) -> Evaluation:
        """A rolling-origin backtest: forecasts from every origin, each from what lies before it, without refitting.

        Baselines forecast from the same origins; the linear one is fitted to the training part.
        """
        known = self.preprocessing
        windows = self._scored_windows(part)
        backtest = origins(part, windows, known.season)
        forecasts = {"model": model_forecasts(model, part, windows, self._levels)}
        for name, method in BASELINES.items():
            forecasts[name] = simple_forecasts(method, backtest, known.season)
        linear = self._linear(train) if train is not None else None
        if linear is not None:
            forecasts["linear"] = simple_forecasts(linear, backtest, known.season, scaled=True)
        scores = {name: backtest.score(made) for name, made in forecasts.items()}
        m4_season = SEASONS.get(known.table.frequency.name)
        if m4_season is not None and part.raw.panel.targets == 1 and backtest.one_origin_per_series:
            m4 = origins(part, windows, m4_season)
            forecasts["naive2"] = simple_forecasts(seasonally_adjusted_naive, m4, m4_season)
            reference = m4.score(forecasts["naive2"])
            scores["naive2"] = backtest.score(forecasts["naive2"])
            for name, made in forecasts.items():
                scores[name] |= owa(m4.score(made), reference)
        results = ForecastResults(backtest, forecasts, known.table.columns.target)
        return Evaluation(scores.pop("model"), scores, results)

    @property
    def _levels(self) -> tuple[float, ...]:
        return tuple(sorted(set(self.settings.model.quantiles)))

    def _scored_windows(self, part: ScaledPart) -> Windows:
        values = self.preprocessing.horizon * part.raw.panel.targets
        if self.settings.data.stride is not None:
            return self._windows(part, stride=self.settings.data.stride)
        stride = self._stride(part, max(1, SCORED_VALUES // values))
        if stride > 1:
            notice(f"Evaluated from every {stride}th origin, since there are very many; --set stride=1 takes all.")
        return self._windows(part, stride=stride)

    def _linear(self, train: ScaledPart) -> Linear | None:
        """The linear baseline, or None where no series of the training part is long enough for one whole window."""
        known = self.preprocessing
        if not (train.raw.lengths >= known.lookback + known.horizon).any():
            return None
        stride = self._stride(train, max(1, LINEAR_WINDOWS // train.raw.panel.targets))
        windows = self._windows(train, stride=stride, minimum_history=known.lookback)
        return Linear(known.lookback, known.horizon).fit(map(_as_rows, windows.epoch(0)))

    def predict(self, model: nn.Module, source: Any) -> pl.DataFrame:
        """The next ``horizon`` rows of each series, in the columns of the table.

        Targets hold the medians, quantiles stand in columns as "units_p10". Covariates known in the future and columns
        that stay the same within a series are filled in, other columns are empty.
        """
        known, columns = self.preprocessing, self.preprocessing.table.columns
        panel = read_panel(source, reading=self._reading(), schema=known.table).future(known.horizon)
        part = self._view(Part(panel, panel.lengths - known.horizon, panel.lengths))
        windows = forecast_windows(part.scaled.panel, known.lookback, known.horizon, self._batch_size)
        made = model_forecasts(model, part, windows, self._levels)
        rows = (windows.rows[:, None] + np.arange(known.horizon)).ravel()
        future = pl.DataFrame([_column(name, made.point[..., place]) for place, name in enumerate(columns.target)])
        if columns.time is not None:
            future = future.with_columns(panel.schema.time_format.write(panel.stamps[rows]).alias(columns.time))
        if panel.ids.width:
            future = future.hstack(panel.ids[np.repeat(np.arange(len(panel)), known.horizon)].get_columns())
        reading = self._reading()
        table = open_table(source, missing=reading.missing, header=reading.header, expected=columns.all_names()).frame
        future = _with_other_columns(future, table, columns)
        for place, target in enumerate(columns.target):
            for level in made.levels:
                values = made.quantile(level)
                assert values is not None
                name = f"{target}_p{level * 100:g}"
                if name in future.columns:
                    raise DataError(panel.source, f'a column "{name}"', "none, for the quantile", "Rename that column.")
                future = future.with_columns(_column(name, values[..., place]))
        return future

    def sections(self, model: nn.Module, splits: Splits[ScaledPart], evaluation: Evaluation) -> list[Section]:
        """Forecasts drawn over what came, errors by step ahead, and the scores in words."""
        return forecast_sections(evaluation.details)


def _with_calendar(part: Part, calendar: tuple[str, ...]) -> Part:
    """The part without the calendar features that are not used."""
    panel, kept = part.panel, known_features(part.panel, calendar)
    names = tuple(panel.known_names[place] for place in kept)
    return replace(part, panel=replace(panel, known=np.ascontiguousarray(panel.known[:, kept]), known_names=names))


def _as_rows(batch: Any) -> tuple[np.ndarray, np.ndarray]:
    """Lookbacks [B * C, L] and horizons [B * C, H] with NaN where nothing was observed."""
    before = np.where(batch.past_observed, batch.past_values, np.nan).transpose(0, 2, 1)
    after = np.where(batch.future_observed, batch.future_values, np.nan).transpose(0, 2, 1)
    return before.reshape(-1, before.shape[2]).astype(float), after.reshape(-1, after.shape[2]).astype(float)


def _column(name: str, values: np.ndarray) -> pl.Series:
    """Forecasts as a column, to the seven digits that single precision has."""
    return pl.Series(name, values.ravel()).round_sig_figs(7)


def _with_other_columns(future: pl.DataFrame, table: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    """The future rows with all columns of the table, in its order."""
    series, time = list(columns.series), [columns.time] if columns.time is not None else []
    filled = future
    rest = [name for name in table.columns if name not in (*future.columns, *columns.known, *columns.past)]
    if series and rest:
        kinds = table.group_by(series).agg(pl.col(rest).n_unique()).select(pl.col(rest).max()).row(0)
        constant = [name for name, number in zip(rest, kinds, strict=True) if number == 1]
        first = table.unique(series, keep="first").select(*series, *constant)
        filled = filled.join(first, on=series, how="left", maintain_order="left")
    if columns.known and time and table.schema[time[0]] == future.schema[time[0]]:
        there = table.unique([*series, *time], keep="last").select(*series, *time, *columns.known)
        filled = filled.join(there, on=[*series, *time], how="left", maintain_order="left")
    empty = [pl.lit(None, dtype=table.schema[name]).alias(name) for name in table.columns if name not in filled.columns]
    return filled.with_columns(empty).select(table.columns)


def _check_counts(panel: Panel) -> None:
    wrong = panel.observed & ((panel.values < 0) | (panel.values != np.round(panel.values)))
    if not wrong.any():
        return
    row, target = (int(place) for place in np.argwhere(wrong)[0])
    series = int(np.searchsorted(panel.offsets, row, side="right")) - 1
    stamp = panel.schema.time_format.say(int(panel.stamps[row]))
    raise DataError(
        panel.source,
        f"{panel.values[row, target]:g} at {stamp} of {panel.name(series)}",
        "counts (0, 1, 2, ...), which the negative_binomial head is for",
        "Choose --head quantiles, gaussian or student_t for numbers of other kinds.",
        column=panel.columns.target[target],
    )
