"""What a report shows of forecasts: drawn over what came, errors by step ahead, scores beside the baselines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from echoic.insight.plots import INK, PALETTE, as_svg
from echoic.insight.report import Section
from echoic.metrics.forecast import LOWER, UPPER, Forecasts
from echoic.models.backtest import Backtest

PANELS = 6
MODEL, BASELINE = PALETTE[0], PALETTE[1]
SHOWN = ("mase", "smape", "mae", "rmse", "pinball", "coverage_80", "owa", "mse_standardised", "mae_standardised")


@dataclass(frozen=True)
class ForecastResults:
    """Forecasts of several methods from the same origins.

    forecasts: by method; "model" is the network.
    targets: names of the targets.
    """

    backtest: Backtest
    forecasts: dict[str, Forecasts]
    targets: tuple[str, ...]


def forecast_sections(results: ForecastResults) -> list[Section]:
    """The sections of a forecaster's report."""
    return [_drawn(results), _scores(results), _by_step(results)]


def _drawn(results: ForecastResults) -> Section:
    made = results.forecasts["model"]
    text = [
        "Forecasts of stretches the model has not seen, over what came. The vertical line is where the forecast begins."
    ]
    if made.quantile(LOWER) is not None and made.quantile(UPPER) is not None:
        text.append("The band should hold the truth in eight cases of ten.")
    return Section("Forecasts over truth", text, figures=[("", forecast_figure(results))])


def _scores(results: ForecastResults) -> Section:
    scores = {name: results.backtest.score(made) for name, made in results.forecasts.items()}
    names = [name for name in SHOWN if any(name in metrics for metrics in scores.values())]
    rows = [
        [method.replace("_", " "), *(_number(metrics.get(name)) for name in names)]
        for method, metrics in scores.items()
    ]
    best = min(scores, key=lambda method: scores[method]["mae"])
    verdict = (
        "The model has the smallest mean absolute error."
        if best == "model"
        else f"The baseline {best.replace('_', ' ')} has the smallest mean absolute error: it beats the model here."
    )
    text = (
        f"{verdict} MASE is the error relative to that of the seasonal naive forecast in the past (below 1 is better "
        "than it); sMAPE is in percent; MAE and RMSE are in the unit of the target."
    )
    return Section("Beside simple methods", [text], [("On the same origins", ["", *names], rows)])


def _by_step(results: ForecastResults) -> Section:
    horizon = results.backtest.horizon
    chunks = [chunk for chunk in np.array_split(np.arange(horizon), min(4, horizon)) if len(chunk)]
    header = ["steps ahead", *(name.replace("_", " ") for name in results.forecasts)]
    rows = []
    for chunk in chunks:
        label = f"{chunk[0] + 1} to {chunk[-1] + 1}" if len(chunk) > 1 else str(chunk[0] + 1)
        rows.append([label, *(_number(_error(results, made, chunk)) for made in results.forecasts.values())])
    text = "Mean absolute error by how far ahead the forecast looks."
    return Section("Errors by step ahead", [text], [("Mean absolute error", header, rows)])


def _error(results: ForecastResults, made: Forecasts, steps: NDArray[np.int64]) -> float | None:
    truth, observed = results.backtest.truth[:, steps], results.backtest.observed[:, steps]
    return float(np.abs(made.point[:, steps] - truth)[observed].mean()) if observed.any() else None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def forecast_figure(results: ForecastResults) -> str:
    """SVG of some forecasts over the truth, spread evenly over origins and targets."""
    backtest = results.backtest
    count = min(PANELS, len(backtest.series) * len(results.targets))
    windows = ((np.arange(count) + 0.5) * len(backtest.series) / count).astype(int)
    figure = Figure(figsize=(9.5, 2.3 * -(-count // 2)), layout="constrained")
    axes = figure.subplots(-(-count // 2), min(2, count), squeeze=False).ravel()
    for place, window in enumerate(windows):
        _panel(axes[place], results, int(window), place % len(results.targets))
    for unused in axes[count:]:
        unused.set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    return as_svg(figure)


def _panel(axes: Axes, results: ForecastResults, window: int, target: int) -> None:
    backtest, made = results.backtest, results.forecasts["model"]
    panel, horizon = backtest.part.raw.panel, backtest.horizon
    series, position = int(backtest.series[window]), int(backtest.position[window])
    rows = panel.rows(series)
    start = rows.start + max(0, position - 2 * horizon)
    values = np.where(panel.observed, panel.values, np.nan)[start : rows.start + position + horizon, target]
    steps, ahead = np.arange(start - rows.start, position + horizon) - position + 1, np.arange(1, horizon + 1)
    low, high = made.quantile(LOWER), made.quantile(UPPER)
    if low is not None and high is not None:
        band = (low[window, :, target], high[window, :, target])
        axes.fill_between(ahead, *band, color=MODEL, alpha=0.18, linewidth=0, label="80 % band")
    axes.plot(steps, values, color=INK, linewidth=1.2, label="truth")
    naive = results.forecasts["seasonal_naive"].point[window, :, target]
    axes.plot(ahead, naive, color=BASELINE, linewidth=1, linestyle=":", label="seasonal naive")
    axes.plot(ahead, made.point[window, :, target], color=MODEL, linewidth=1.6, label="forecast")
    axes.axvline(0.5, color=INK, linewidth=0.6, alpha=0.5)
    name = results.targets[target] if len(panel) == 1 else f"{results.targets[target]} of {panel.name(series)}"
    stamp = panel.schema.time_format.say(int(panel.stamps[rows.start + position]))
    axes.set_title(f"{name}, from {stamp}"[:70], fontsize=9, loc="left")
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
