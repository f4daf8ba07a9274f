"""M4's measures against the figures of the competition and a direct transcription of their definitions."""

from __future__ import annotations

import csv
import gzip
import math

import numpy as np
import pytest
from tests.shared_data import shared_data

from echoic.metrics.forecast import Forecasts, Reference, score, seasonal_error
from echoic.metrics.m4 import is_seasonal, naive2, owa, seasonal_indices


def rows(name: str) -> list[np.ndarray]:
    with gzip.open(shared_data(f"forecasting/m4-hourly-weekly/{name}.csv.gz"), "rt") as file:
        return [np.array([float(v) for v in row[1:] if v]) for row in csv.reader(file)]


@pytest.mark.parametrize(
    ("frequency", "season", "smape", "mase", "seasonal_smape", "seasonal_mase"),
    [("hourly", 24, 18.383, 2.395, 13.912, 1.193), ("weekly", 1, 9.161, 2.777, 9.161, 2.777)],
)
def test_published_figures(frequency, season, smape, mase, seasonal_smape, seasonal_mase):
    """Naive2 and seasonal naive on the official test, and OWA of the latter."""
    train, test = rows(f"{frequency}-train"), np.stack(rows(f"{frequency}-test"))
    horizon = test.shape[1]
    points = {
        "naive2": np.stack([naive2(history, horizon, season) for history in train]),
        "seasonal": np.stack([np.resize(history[-season:], horizon) for history in train]),
    }
    errors = np.array([[seasonal_error(history, season)] for history in train])
    reference = Reference(errors, np.ones_like(errors))
    scored = {
        name: score(test[..., None], np.ones((*test.shape, 1), bool), Forecasts(point[..., None]), reference)
        for name, point in points.items()
    }
    assert scored["naive2"]["smape"] == pytest.approx(smape, abs=6e-4)
    assert scored["naive2"]["mase"] == pytest.approx(mase, abs=6e-4)
    assert scored["seasonal"]["smape"] == pytest.approx(seasonal_smape, abs=6e-4)
    assert scored["seasonal"]["mase"] == pytest.approx(seasonal_mase, abs=6e-4)
    if frequency == "hourly":
        assert owa(scored["seasonal"], scored["naive2"])["owa"] == pytest.approx(0.628, abs=6e-4)


def test_naive2_repeats_a_multiplicative_season_exactly():
    """A constant level times a season of 7 continues with the season, whatever the phase it stops in."""
    pattern = np.array([1.0, 0.5, 2.0, 1.5, 0.25, 0.75, 1.0])
    for length in range(35, 43):
        history = 40 * np.resize(pattern, length)
        expected = 40 * np.resize(pattern, length + 11)[length:]
        np.testing.assert_allclose(naive2(history, 11, 7), expected, rtol=1e-12)


@pytest.mark.parametrize("season", [4, 7])
def test_indices_of_a_noisy_series(season):
    """Against the definition written as loops."""
    generator = np.random.default_rng(season)
    history = generator.uniform(5, 9, size=6 * season + 3)
    half = season // 2
    ratios: list[list[float]] = [[] for _ in range(season)]
    for t in range(half, len(history) - half):
        weights = [0.5 if season % 2 == 0 and abs(d) == half else 1.0 for d in range(-half, half + 1)]
        trend = sum(w * history[t + d] for w, d in zip(weights, range(-half, half + 1), strict=True)) / season
        ratios[t % season].append(history[t] / trend)
    index = np.array([math.fsum(r) / len(r) for r in ratios])
    np.testing.assert_allclose(seasonal_indices(history, season), index / index.mean(), rtol=1e-12)


def test_seasonality_is_found_where_it_is():
    generator = np.random.default_rng(1)
    noise = generator.normal(size=240)
    assert not is_seasonal(noise, 12)
    assert is_seasonal(noise + 4 * np.sin(2 * np.pi * np.arange(240) / 12), 12)
    assert not is_seasonal(np.sin(2 * np.pi * np.arange(35) / 12), 12)  # shorter than three seasons
    assert not is_seasonal(np.full(100, 3.0), 12)
    assert not is_seasonal(noise, 1)
