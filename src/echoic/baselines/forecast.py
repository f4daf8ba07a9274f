"""Forecasts without a network, to stand beside one: naive, seasonal naive, drift, and a linear map of the lookback.

Legend: T steps of a series, C targets, N origins (an origin is the first step that is not known), H steps ahead, L
steps of lookback.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echoic.metrics.m4 import naive2

Array = NDArray[np.float64]
Origins = NDArray[np.int64]
RIDGE = 1e-4  # of the mean square of an input: enough to keep constant inputs harmless


@dataclass(frozen=True)
class History:
    """A series and the moments from which it is foretold.

    values: [T, C] without gaps (see ``carried_forward``).
    origins: [N], each between 1 and T: what lies before it is known, nothing else.
    horizon: H.
    season: steps in a season, 1 where there is none.
    """

    values: Array
    origins: Origins
    horizon: int
    season: int


def carried_forward(values: Array) -> Array:
    """Missing values of a series [T, C] replaced by the last one before, at the start by 0."""
    seen = np.isfinite(values)
    place = np.maximum.accumulate(np.where(seen, np.arange(len(values))[:, None], -1), axis=0)
    filled = np.take_along_axis(np.where(seen, values, 0.0), np.maximum(place, 0), axis=0)
    return np.where(place >= 0, filled, 0.0)


def naive(history: History) -> Array:
    """The last value goes on, [N, H, C]."""
    last = history.values[history.origins - 1]
    return np.repeat(last[:, None], history.horizon, axis=1)


def seasonal_naive(history: History) -> Array:
    """The last season goes on, [N, H, C]; the last value where less than a season is known."""
    ahead = np.arange(history.horizon)
    place = history.origins[:, None] - history.season + ahead % history.season
    season = history.values[np.maximum(place, 0)]
    return np.where((history.origins >= history.season)[:, None, None], season, naive(history))


def drift(history: History) -> Array:
    """The straight line from the first value to the last goes on, [N, H, C]."""
    last, steps = history.values[history.origins - 1], np.maximum(history.origins - 1, 1)
    slope = (last - history.values[0]) / steps[:, None]
    return last[:, None] + slope[:, None] * np.arange(1, history.horizon + 1)[:, None]


def seasonally_adjusted_naive(history: History) -> Array:
    """M4's Naive2, [N, H, C]; the last value where it is not defined (a season with zeros)."""
    found = np.stack(
        [
            np.stack([naive2(past, history.horizon, history.season) for past in history.values[:origin].T], axis=-1)
            for origin in history.origins
        ]
    )
    return np.where(np.isfinite(found), found, naive(history))


BASELINES = {"naive": naive, "seasonal_naive": seasonal_naive, "drift": drift}


class Linear:
    """A linear map from the lookback, less its last value, to every step ahead, one for all series and targets: what
    DLinear (Zeng et al., 2023) is once trained, found in closed form by ridge regression.

    Args:
        lookback: L.
        horizon: H.
    """

    def __init__(self, lookback: int, horizon: int) -> None:
        self.lookback, self.horizon = lookback, horizon
        self.weights = np.zeros((lookback + 1, horizon))

    def fit(self, blocks: Iterable[tuple[Array, Array]]) -> Linear:
        """Fit to blocks of windows: lookbacks [n, L] and horizons [n, H], on scales that may be added up.

        Windows with a missing value are left out.
        """
        gram = np.zeros((self.lookback + 1, self.lookback + 1))
        cross = np.zeros((self.lookback + 1, self.horizon))
        for before, after in blocks:
            whole = np.isfinite(before).all(axis=1) & np.isfinite(after).all(axis=1)
            inputs, last = self._inputs(before[whole])
            gram += inputs.T @ inputs
            cross += inputs.T @ (after[whole] - last)
        strength = RIDGE * np.trace(gram) / len(gram) + np.finfo(float).tiny
        self.weights = np.linalg.solve(gram + strength * np.eye(len(gram)), cross)
        return self

    def __call__(self, history: History) -> Array:
        """Forecasts [N, H, C]; before the start of the series its first value stands."""
        place = np.maximum(history.origins[:, None] + np.arange(-self.lookback, 0), 0)
        before = history.values[place].transpose(0, 2, 1)  # [N, C, L]
        inputs, last = self._inputs(before.reshape(-1, self.lookback))
        forecasts = (last + inputs @ self.weights).reshape(len(history.origins), -1, self.horizon)
        return forecasts.transpose(0, 2, 1)

    def _inputs(self, before: Array) -> tuple[Array, Array]:
        last = before[:, -1:]
        return np.concatenate([before - last, np.ones_like(last)], axis=1), last
