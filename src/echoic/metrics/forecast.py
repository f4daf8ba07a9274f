"""How good forecasts are. Arrays are [N, H, C]: windows, steps ahead, targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LOWER, UPPER = 0.1, 0.9  # the band whose coverage is reported: it should hold 80 % of the truth


@dataclass(frozen=True)
class Reference:
    """What errors are measured against, of each window's series, from its training part alone, [N, C].

    seasonal_error: mean absolute error of the seasonal naive forecast in sample (the denominator of MASE).
    deviation: standard deviation.
    """

    seasonal_error: Array
    deviation: Array


@dataclass(frozen=True)
class Forecasts:
    """Forecasts of windows.

    point: [N, H, C].
    quantiles: [N, H, C, Q], or None where the method gives none.
    levels: the Q probabilities of ``quantiles``, ascending.
    """

    point: Array
    quantiles: Array | None = None
    levels: tuple[float, ...] = ()

    def quantile(self, level: float) -> Array | None:
        """The quantile [N, H, C] of that level, or None if it is not among the levels."""
        if self.quantiles is None or level not in self.levels:
            return None
        return self.quantiles[..., self.levels.index(level)]


def score(truth: Array, observed: NDArray[np.bool_], forecasts: Forecasts, reference: Reference) -> dict[str, float]:
    """Metrics over all observed values.

    mae, rmse, mse in the unit of the target; smape in percent, 200 |y-f| / (|y|+|f|) as in the M4 competition; mase,
    absolute error over that of the seasonal naive forecast in sample (Hyndman and Koehler, 2006), leaving out series
    that are constant in sample; mse_standardised and mae_standardised, of the targets divided by their deviation in
    sample, leaving out the same; with quantiles pinball, the mean over the levels, and coverage_80, the share of truth
    between the 10 % and 90 % quantiles. A metric without a single value to average is left out.
    """
    error = np.where(observed, forecasts.point - np.where(observed, truth, 0.0), np.nan)
    size = np.abs(error)
    metrics = {"mae": _mean(size), "rmse": _mean(error**2) ** 0.5, "mse": _mean(error**2)}
    metrics["smape"] = _mean(symmetric_percentage_error(truth, forecasts.point), observed)
    metrics["mase"] = _mean(size / _denominator(reference.seasonal_error))
    deviation = _denominator(reference.deviation)
    metrics["mse_standardised"] = _mean((error / deviation) ** 2)
    metrics["mae_standardised"] = _mean(size / deviation)
    if forecasts.quantiles is not None:
        metrics["pinball"] = _mean(pinball(truth, forecasts.quantiles, forecasts.levels).mean(axis=-1), observed)
    low, high = forecasts.quantile(LOWER), forecasts.quantile(UPPER)
    if low is not None and high is not None:
        metrics["coverage_80"] = _mean(((truth >= low) & (truth <= high)).astype(np.float64), observed)
    return {name: float(value) for name, value in metrics.items() if np.isfinite(value)}


def symmetric_percentage_error(truth: Array, point: Array) -> Array:
    """200 |y-f| / (|y|+|f|), elementwise; 0 where both are 0."""
    total = np.abs(truth) + np.abs(point)
    return 200 * np.abs(truth - point) / np.where(total > 0, total, 1)


def pinball(truth: Array, quantiles: Array, levels: tuple[float, ...]) -> Array:
    """Pinball loss of each level, [..., Q]: ``max(q (y - f), (q - 1) (y - f))``."""
    above = truth[..., None] - quantiles
    level = np.asarray(levels)
    return np.maximum(level * above, (level - 1) * above)


def seasonal_error(history: Array, season: int) -> float:
    """Mean of |y_t - y_{t-season}| over a series [T] that may hold NaN; NaN where no pair is observed.

    A series no longer than the season is measured from step to step.
    """
    lag = season if len(history) > season else 1
    return _mean(np.abs(history[lag:] - history[:-lag]))


def _denominator(scale: Array) -> Array:
    usable = np.isfinite(scale) & (scale > 0)
    return np.where(usable, scale, np.nan)[:, None, :]


def _mean(values: Array, observed: NDArray[np.bool_] | None = None) -> float:
    kept = values[np.isfinite(values) if observed is None else observed & np.isfinite(values)]
    return float(kept.mean()) if kept.size else float("nan")
