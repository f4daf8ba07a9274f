"""Scales of series: by name, from training alone, and back again."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from echoic.data.covariates import CovariateScales
from echoic.data.panel import Part
from echoic.data.panel_reader import read_panel
from echoic.data.target_scaling import TargetScales, moments, scaled_part

DAYS = np.datetime64("2024-01-01") + np.arange(20)


def panel(*shops: str, seed: int = 0, holes: bool = False):
    generator = np.random.default_rng(seed)
    tables = []
    for shop in shops:
        values = generator.normal(500, 40, size=(20, 2))
        if holes:
            values[generator.random((20, 2)) < 0.3] = np.nan
        tables.append(pl.DataFrame({"day": DAYS, "shop": [shop] * 20, "a": values[:, 0], "b": values[:, 1]}))
    return read_panel(pl.concat(tables).fill_nan(None))


def test_moments_are_of_the_observed_values_of_the_first_rows():
    read = panel("x", "y", "z", holes=True)
    rows = np.array([7, 20, 13])
    mean, deviation = moments(read, rows)
    for s in range(3):
        part = read.rows(s)
        values = np.where(read.observed[part], read.values[part], np.nan)[: rows[s]]
        np.testing.assert_allclose(mean[s], np.nanmean(values, axis=0), rtol=1e-6)
        np.testing.assert_allclose(deviation[s], np.nanstd(values, axis=0), rtol=1e-5)


def test_series_are_found_by_name():
    trained = panel("x", "y", "z")
    half = Part(trained, np.zeros(3, int), np.full(3, 10))
    scales = TargetScales.fit(half, np.full(3, 15))
    mean, deviation = scales.of(trained.select(np.array([2, 0])))
    expected = moments(trained, np.full(3, 10))
    np.testing.assert_allclose(mean, expected[0][[2, 0]])
    np.testing.assert_allclose(deviation, expected[1][[2, 0]])
    strangers = panel("new", "y", seed=4)
    mean, _ = scales.of(strangers)
    np.testing.assert_allclose(mean[0], moments(strangers, np.full(2, 20))[0][0])
    np.testing.assert_allclose(mean[1], expected[0][1])
    assert scales.unseen(strangers).tolist() == [0, 15]
    assert TargetScales.model_validate_json(scales.model_dump_json()) == scales


@pytest.mark.parametrize("shape", [(4, 3, 2), (4, 3, 2, 5)])
def test_restore_undoes_scaling(shape):
    trained = panel("x", "y", "z")
    whole = Part.whole(trained)
    part = scaled_part(whole, TargetScales.fit(whole, trained.history), CovariateScales.fit(whole), centred=True)
    series = np.array([2, 0, 1, 1])
    values = np.random.default_rng(1).normal(size=shape)
    restored = part.restore(values, series)
    for n, s in enumerate(series):
        for c in range(2):
            np.testing.assert_allclose(restored[n, :, c], part.mean[s, c] + part.scale[s, c] * values[n, :, c])
    rows = trained.rows(1)
    back = part.mean[1] + part.scale[1] * part.scaled.panel.values[rows]
    np.testing.assert_allclose(back, trained.values[rows], rtol=1e-5)


def test_constant_series_and_counts():
    read = read_panel(pl.DataFrame({"day": DAYS, "a": [0.1] * 20}))
    whole = Part.whole(read)
    scales = TargetScales.fit(whole, read.history)
    part = scaled_part(whole, scales, CovariateScales.fit(whole), centred=True)
    assert part.deviation.tolist() == [[0.0]]
    assert np.abs(part.scaled.panel.values).max() < 1e-6
    plain = scaled_part(whole, scales, CovariateScales.fit(whole), centred=False)
    np.testing.assert_array_equal(plain.scaled.panel.values, read.values)
    assert (plain.mean, plain.scale) == (0, 1)
