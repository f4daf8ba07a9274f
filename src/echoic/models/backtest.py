"""Forecasts of many windows with one pass of the model for each batch, and of simple methods from the same origins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from echoic.baselines.forecast import History, carried_forward
from echoic.data.panel import Panel
from echoic.data.target_scaling import ScaledPart
from echoic.data.windows import Windows
from echoic.metrics.forecast import Forecasts, Reference, score, seasonal_error
from echoic.models.forecaster import ForecastModel
from echoic.training.validation import device_of, to_device

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Backtest:
    """Rolling origins: what came, and what was to be measured against, [N, H, C].

    series: [N], which series of the panel.
    position: [N], row of the series at which the window's horizon begins.
    """

    part: ScaledPart
    truth: Array
    observed: NDArray[np.bool_]
    reference: Reference
    series: NDArray[np.int64]
    position: NDArray[np.int64]

    @property
    def horizon(self) -> int:
        """Steps ahead, H."""
        return self.truth.shape[1]

    @property
    def one_origin_per_series(self) -> bool:
        """Whether each series is forecast once, as in a competition."""
        return len(np.unique(self.series)) == len(self.series)

    def score(self, forecasts: Forecasts) -> dict[str, float]:
        """Metrics of forecasts from these origins."""
        return score(self.truth, self.observed, forecasts, self.reference)


def origins(part: ScaledPart, windows: Windows, season: int) -> Backtest:
    """The windows of a part as a backtest. Errors in sample are taken before the first target of each series."""
    panel = part.raw.panel
    series = np.searchsorted(panel.offsets, windows.rows, side="right") - 1
    steps = windows.rows[:, None] + np.arange(windows.horizon)
    errors = np.full(part.mean.shape, np.nan)
    for s in np.unique(series):
        known = int(part.raw.begin[s]) or int(part.raw.end[s])
        errors[s] = [seasonal_error(column, season) for column in _with_holes(panel, s)[:known].T]
    reference = Reference(errors[series], part.deviation[series])
    truth = panel.values[steps].astype(np.float64)
    return Backtest(part, truth, panel.observed[steps], reference, series, windows.rows - panel.offsets[series])


@torch.no_grad()
def model_forecasts(model: nn.Module, part: ScaledPart, windows: Windows, levels: tuple[float, ...]) -> Forecasts:
    """Forecasts of a model for every window, in the targets' own unit."""
    forecaster = cast(ForecastModel, model)
    was_training, device = model.training, device_of(model)
    model.eval()
    parts = [forecaster.forecast(to_device(batch, device), levels) for batch in windows.epoch(0)]
    model.train(was_training)
    series = np.searchsorted(windows.panel.offsets, windows.rows, side="right") - 1
    point = part.restore(torch.cat([p.point for p in parts]).double().cpu().numpy(), series)
    bands = [p.quantiles for p in parts if p.quantiles is not None]
    quantiles = part.restore(torch.cat(bands).double().cpu().numpy(), series) if bands else None
    return Forecasts(point, quantiles, levels if bands else ())


def simple_forecasts(
    method: Callable[[History], Array], backtest: Backtest, season: int, scaled: bool = False
) -> Forecasts:
    """Forecasts of a simple method from the same origins, each from all of its series before the origin.

    scaled: show it the series as the model sees them.
    """
    part = backtest.part
    panel = part.scaled.panel if scaled else part.raw.panel
    point = np.empty_like(backtest.truth)
    for s in np.unique(backtest.series):
        mine = backtest.series == s
        values = carried_forward(_with_holes(panel, s))
        point[mine] = method(History(values, backtest.position[mine], backtest.horizon, season))
    return Forecasts(part.restore(point, backtest.series) if scaled else point)


def _with_holes(panel: Panel, series: int) -> Array:
    rows = panel.rows(series)
    return np.where(panel.observed[rows], panel.values[rows].astype(np.float64), np.nan)
