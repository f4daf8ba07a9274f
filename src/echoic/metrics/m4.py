"""The M4 competition's own yardstick (Makridakis, Spiliotis and Assimakopoulos, 2020): Naive2 and OWA.

Naive2 and its test of seasonality transcribe the competition's R code (``Benchmarks and Evaluation.R``), which uses R's
``acf`` and classical multiplicative ``decompose``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
CRITICAL = 1.645  # of the normal distribution: a two-sided test at 90 %
SEASONS = {"yearly": 1, "quarterly": 4, "monthly": 12, "weekly": 1, "daily": 1, "hourly": 24}  # steps, as M4 has them


def is_seasonal(history: Array, season: int) -> bool:
    """Whether the autocorrelation of a series [T] at lag ``season`` is significant, given those at smaller lags."""
    if season <= 1 or len(history) < 3 * season:
        return False
    centred = history - history.mean()
    variance = float(centred @ centred)
    if variance == 0:
        return False
    correlation = np.array([centred[lag:] @ centred[:-lag] for lag in range(1, season + 1)]) / variance
    limit = CRITICAL * np.sqrt((1 + 2 * np.sum(correlation[:-1] ** 2)) / len(history))
    return bool(abs(correlation[-1]) > limit)


def seasonal_indices(history: Array, season: int) -> Array:
    """Multiplicative seasonal index of each phase of a series [T], [season], with mean 1.

    The trend is a centred moving average over one season.
    """
    weights = np.ones(season) if season % 2 else np.r_[0.5, np.ones(season - 1), 0.5]
    trend = np.convolve(history, weights / season, mode="valid")
    start = len(weights) // 2
    ratio = np.full(len(history), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio[start : start + len(trend)] = history[start : start + len(trend)] / trend
        phases = [ratio[phase::season] for phase in range(season)]
        index = np.array([np.sum(p, where=np.isfinite(p)) / np.float64(np.isfinite(p).sum()) for p in phases])
        return index / index.mean()


def naive2(history: Array, horizon: int, season: int) -> Array:
    """Forecast [horizon] of a series [T]: the last value, seasonally adjusted where the season is significant.

    Not finite where the seasonal indices are not (long stretches of zeros).
    """
    if not is_seasonal(history, season):
        return np.full(horizon, history[-1], dtype=np.float64)
    index = seasonal_indices(history, season)
    phases = np.arange(len(history), len(history) + horizon) % season
    with np.errstate(divide="ignore", invalid="ignore"):
        return history[-1] / index[(len(history) - 1) % season] * index[phases]


def owa(metrics: dict[str, float], reference: dict[str, float]) -> dict[str, float]:
    """Overall weighted average, {"owa": ...}: the mean of sMAPE and MASE, each relative to that of Naive2.

    Empty where either cannot be taken (constant series, or Naive2 without error).
    """
    if not all(reference.get(name) and name in metrics for name in ("smape", "mase")):
        return {}
    return {"owa": (metrics["smape"] / reference["smape"] + metrics["mase"] / reference["mase"]) / 2}
