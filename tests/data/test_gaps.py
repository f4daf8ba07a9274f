"""Filling and merging in flat arrays agrees with polars, series by series."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echoic.data.gaps import MERGES, fill, history_of

CELLS = st.one_of(st.none(), st.integers(-100, 100).map(float))
POLARS = {
    "forward": lambda s: s.fill_null(strategy="forward").fill_null(strategy="backward").fill_null(0),
    "interpolate": lambda s: s.interpolate().fill_null(strategy="forward").fill_null(strategy="backward").fill_null(0),
    "zero": lambda s: s.fill_null(0),
}


@given(
    series=st.lists(st.lists(CELLS, min_size=1, max_size=12), min_size=1, max_size=5),
    policy=st.sampled_from(list(POLARS)),
)
def test_filling_agrees_with_polars(series: list[list[float | None]], policy: str):
    offsets = np.cumsum([0, *map(len, series)])
    flat = np.array([np.nan if cell is None else cell for one in series for cell in one], dtype=np.float32)
    truth = np.concatenate([POLARS[policy](pl.Series(one, dtype=pl.Float64)).to_numpy() for one in series])
    values = np.stack([flat, flat[::-1]], axis=1)
    assert np.allclose(fill(values, offsets, policy)[:, 0], truth, rtol=1e-5, atol=1e-4)
    assert not np.isnan(fill(values, offsets, policy)).any()


@given(series=st.lists(st.lists(st.booleans(), min_size=1, max_size=9), min_size=1, max_size=6))
def test_history(series: list[list[bool]]):
    offsets = np.cumsum([0, *map(len, series)])
    observed = np.array([cell for one in series for cell in one])[:, None]
    truth = [max((i + 1 for i, cell in enumerate(one) if cell), default=0) for one in series]
    assert history_of(np.concatenate([np.zeros_like(observed), observed], axis=1), offsets).tolist() == truth


@pytest.mark.parametrize("policy", MERGES)
def test_merging(policy: str):
    values = np.array([[1, 9], [2, np.nan], [4, np.nan], [8, np.nan], [16, 5], [32, 6]], dtype=np.float32)
    same = np.array([True, True, False, False, True])  # rows 0-2, 3, 4-5
    truth = {
        "mean": [[7 / 3, 9], [8, np.nan], [24, 5.5]],
        "sum": [[7, 9], [8, np.nan], [48, 11]],
        "last": [[4, np.nan], [8, np.nan], [32, 6]],
    }
    np.testing.assert_allclose(MERGES[policy](values, same), truth[policy], rtol=1e-6)
