"""Backtests: the right truth at the right origin, for model and baselines alike."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from echoic.baselines.forecast import seasonal_naive
from echoic.data.covariates import CovariateScales
from echoic.data.panel import Part
from echoic.data.panel_reader import read_panel
from echoic.data.target_scaling import TargetScales, scaled_part
from echoic.data.windows import Windows
from echoic.models.backtest import origins, simple_forecasts

LENGTHS = {"a": 40, "b": 33, "c": 9}


@pytest.fixture(scope="module")
def part():
    generator = np.random.default_rng(0)
    tables = []
    for name, length in LENGTHS.items():
        values = generator.normal(100, 30, size=length)
        values[generator.random(length) < 0.15] = np.nan
        values[[0, -1]] = 50, 60
        days = np.datetime64("2024-01-01") + np.arange(length)
        tables.append(pl.DataFrame({"day": days, "id": [name] * length, "y": values}))
    panel = read_panel(pl.concat(tables).fill_nan(None))
    begin = np.array([30, 25, 9])
    raw = Part(panel, begin, panel.history)
    train = Part(panel, np.zeros(3, int), begin)
    return scaled_part(raw, TargetScales.fit(train, begin), CovariateScales.fit(train), centred=True)


def holes(part, name):
    panel = part.raw.panel
    rows = panel.rows(list(LENGTHS).index(name))
    return np.where(panel.observed[rows, 0], panel.values[rows, 0], np.nan)


@pytest.mark.parametrize("stride", [1, 3])
def test_truth_and_reference(part, stride):
    backtest = origins(part, Windows(part.scaled, 12, 4, 8, stride=stride), season=7)
    expected = [(0, o) for o in range(36, 29, -stride)][::-1] + [(1, o) for o in range(29, 24, -stride)][::-1]
    assert list(zip(backtest.series.tolist(), backtest.position.tolist(), strict=True)) == expected
    for n, (s, origin) in enumerate(expected):
        values = holes(part, "ab"[s])
        truth = values[origin : origin + 4]
        np.testing.assert_array_equal(np.isnan(truth), ~backtest.observed[n, :, 0])
        np.testing.assert_allclose(backtest.truth[n, :, 0][~np.isnan(truth)], truth[~np.isnan(truth)])
        known = values[: (30, 25)[s]]
        assert backtest.reference.seasonal_error[n, 0] == pytest.approx(np.nanmean(np.abs(known[7:] - known[:-7])))
    assert not backtest.one_origin_per_series


@pytest.mark.parametrize("scaled", [False, True])
def test_simple_forecasts_in_the_unit_of_the_target(part, scaled):
    """Scaling a method that commutes with it changes nothing; missing values are carried forward."""
    backtest = origins(part, Windows(part.scaled, 12, 4, 8), season=7)
    found = simple_forecasts(seasonal_naive, backtest, 7, scaled=scaled).point
    for n, (s, origin) in enumerate(zip(backtest.series, backtest.position, strict=True)):
        filled = pl.Series(holes(part, "ab"[s])).fill_nan(None).fill_null(strategy="forward").to_numpy()
        np.testing.assert_allclose(found[n, :, 0], filled[origin - 7 : origin - 3], rtol=1e-5)
