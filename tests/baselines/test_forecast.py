"""Forecasts without a network, against their definitions written value by value."""

from __future__ import annotations

import numpy as np
import pytest

from echoic.baselines.forecast import (
    BASELINES,
    History,
    Linear,
    carried_forward,
    drift,
    naive,
    seasonal_naive,
    seasonally_adjusted_naive,
)


@pytest.fixture
def history() -> History:
    generator = np.random.default_rng(0)
    return History(generator.normal(50, 9, size=(40, 3)), np.array([1, 4, 7, 30, 40]), horizon=9, season=5)


def test_each_value(history):
    found = {name: baseline(history) for name, baseline in BASELINES.items()}
    for n, origin in enumerate(history.origins):
        for h in range(history.horizon):
            for c in range(3):
                past = history.values[:origin, c]
                slope = (past[-1] - past[0]) / max(1, len(past) - 1)
                assert found["naive"][n, h, c] == past[-1]
                assert found["seasonal_naive"][n, h, c] == (past[-5:][h % 5] if len(past) >= 5 else past[-1])
                assert found["drift"][n, h, c] == pytest.approx(past[-1] + (h + 1) * slope)


@pytest.mark.parametrize("baseline", [naive, seasonal_naive, drift, seasonally_adjusted_naive, "linear"])
def test_nothing_looks_ahead(history, baseline):
    """Values from the origin on do not matter."""
    linear = Linear(6, 9)
    linear.weights = np.random.default_rng(1).normal(size=linear.weights.shape)
    method = linear if baseline == "linear" else baseline
    first = method(history)[3]
    changed = history.values.copy()
    changed[30:] = 1e6
    other = History(changed, history.origins, history.horizon, history.season)
    np.testing.assert_array_equal(method(other)[3], first)


def test_linear_recovers_a_linear_recurrence():
    """A sine and a line obey a linear recurrence, which the map must find from windows alone."""
    steps = np.arange(400)
    series = np.stack([3 * np.sin(steps / 7) + 0.05 * steps, np.sin(steps / 7 + 1)], axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(series, 24 + 8, axis=0)[:250].reshape(-1, 32)
    linear = Linear(24, 8).fit([(windows[:200, :24], windows[:200, 24:]), (windows[200:, :24], windows[200:, 24:])])
    origins = np.array([300, 350, 390])
    forecasts = linear(History(series, origins, 8, 1))
    truth = np.stack([series[o : o + 8] for o in origins])
    assert np.abs(forecasts - truth).max() < 0.02
    assert np.abs(naive(History(series, origins, 8, 1)) - truth).max() > 1


def test_linear_leaves_incomplete_windows_out():
    generator = np.random.default_rng(2)
    before, after = generator.normal(size=(60, 5)), generator.normal(size=(60, 3))
    holes = before.copy(), after.copy()
    holes[0][3, 2], holes[1][9, 0] = np.nan, np.inf
    keep = np.setdiff1d(np.arange(60), [3, 9])
    expected = Linear(5, 3).fit([(before[keep], after[keep])]).weights
    np.testing.assert_allclose(Linear(5, 3).fit([holes]).weights, expected, rtol=1e-9)


def test_carried_forward():
    nan = np.nan
    values = np.array([[nan, 1.0], [2.0, nan], [nan, nan], [np.inf, 5.0], [7.0, nan]])
    assert carried_forward(values).tolist() == [[0, 1], [2, 1], [2, 1], [2, 5], [7, 5]]


def test_naive2_with_zeros_falls_back_to_the_last_value():
    pattern = np.resize([0.0, 0, 0, 8], 40)[:, None]
    history = History(pattern, np.array([40]), 6, 4)
    assert np.isfinite(seasonally_adjusted_naive(history)).all()
