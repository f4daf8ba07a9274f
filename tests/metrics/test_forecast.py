"""Metrics of forecasts against their definitions written as loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from echoic.metrics.forecast import Forecasts, Reference, score, seasonal_error

NAMES = ("abs", "square", "smape", "mase", "msz", "maz", "pinball", "inside")


def random_case():
    generator = np.random.default_rng(3)
    shape = (5, 4, 3)
    truth = generator.normal(10, 4, size=shape)
    observed = generator.random(shape) < 0.8
    truth[~observed] = np.nan
    centre = generator.normal(10, 4, size=shape)
    levels = (0.1, 0.5, 0.9)
    quantiles = np.sort(centre[..., None] + generator.normal(0, 3, size=(*shape, 3)), axis=-1)
    reference = Reference(generator.uniform(1, 3, size=(5, 3)), generator.uniform(1, 3, size=(5, 3)))
    return truth, observed, Forecasts(quantiles[..., 1], quantiles, levels), reference


def test_every_metric():
    truth, observed, forecasts, reference = random_case()
    sums: dict[str, list[float]] = {
        name: [] for name in ["abs", "square", "smape", "mase", "msz", "maz", "pinball", "inside"]
    }
    for n, h, c in np.argwhere(observed):
        y, f = truth[n, h, c], forecasts.point[n, h, c]
        sums["abs"].append(abs(y - f))
        sums["square"].append((y - f) ** 2)
        sums["smape"].append(200 * abs(y - f) / (abs(y) + abs(f)))
        sums["mase"].append(abs(y - f) / reference.seasonal_error[n, c])
        sums["msz"].append(((y - f) / reference.deviation[n, c]) ** 2)
        sums["maz"].append(abs(y - f) / reference.deviation[n, c])
        quantiles = forecasts.quantiles[n, h, c]
        losses = [q * (y - v) if y >= v else (1 - q) * (v - y) for q, v in zip((0.1, 0.5, 0.9), quantiles, strict=True)]
        sums["pinball"].append(sum(losses) / 3)
        sums["inside"].append(float(quantiles[0] <= y <= quantiles[2]))
    mean = {name: math.fsum(values) / len(values) for name, values in sums.items()}
    expected = {
        "mae": mean["abs"],
        "mse": mean["square"],
        "rmse": math.sqrt(mean["square"]),
        "smape": mean["smape"],
        "mase": mean["mase"],
        "mse_standardised": mean["msz"],
        "mae_standardised": mean["maz"],
        "pinball": mean["pinball"],
        "coverage_80": mean["inside"],
    }
    assert score(truth, observed, forecasts, reference) == pytest.approx(expected, rel=1e-12)


def test_constant_series_are_left_out_of_scaled_errors():
    truth, observed, forecasts, reference = random_case()
    flat = Reference(reference.seasonal_error.copy(), reference.deviation.copy())
    flat.seasonal_error[2] = 0
    flat.deviation[2] = np.nan
    keep = np.arange(5) != 2
    kept = Forecasts(forecasts.point[keep])
    some = score(truth[keep], observed[keep], kept, Reference(flat.seasonal_error[keep], flat.deviation[keep]))
    every = score(truth, observed, forecasts, flat)
    assert every["mase"] == pytest.approx(some["mase"], rel=1e-12)
    assert every["mse_standardised"] == pytest.approx(some["mse_standardised"], rel=1e-12)
    assert every["mae"] != pytest.approx(some["mae"])


def test_without_anything_to_measure_a_metric_is_absent():
    zeros = np.zeros((2, 3, 1))
    scored = score(zeros, np.ones_like(zeros, bool), Forecasts(zeros), Reference(np.zeros((2, 1)), np.zeros((2, 1))))
    assert scored == {"mae": 0, "rmse": 0, "mse": 0, "smape": 0}


def test_seasonal_error_skips_missing_values():
    history = np.array([1.0, 2.0, np.nan, 7.0, 4.0, 9.0])
    assert seasonal_error(history, 2) == pytest.approx((abs(7 - 2) + abs(9 - 7)) / 2)
    assert seasonal_error(history[:2], 4) == 1.0
    assert math.isnan(seasonal_error(np.array([np.nan, 3.0, np.nan]), 1))
