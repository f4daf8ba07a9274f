"""The rows that follow a series: their times, their covariates, and no values."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from echoic.data.columns import Columns
from echoic.data.panel_reader import read_panel
from echoic.errors import DataError

LENGTHS = (5, 9, 3)


def frame(extra: int = 0) -> pl.DataFrame:
    """Three monthly series that begin in different months; ``extra`` rows with a price and no value at each end."""
    random = np.random.default_rng(2)
    parts = []
    for series, length in enumerate(LENGTHS):
        months = pl.date_range(pl.date(2020, 1 + series, 1), pl.date(2030, 1, 1), "1mo", eager=True)[: length + extra]
        values = [*random.normal(size=length), *[None] * extra]
        parts.append(
            pl.DataFrame(
                {"month": months, "s": str(series), "y": values, "price": random.uniform(5, 9, length + extra)}
            )
        )
    return pl.concat(parts)


@pytest.mark.parametrize("horizon", [1, 4])
def test_the_future_without_covariates(horizon: int):
    table = frame()
    panel = read_panel(table, Columns(time="month", series="s", target="y"))
    future = panel.future(horizon)
    truth = frame(extra=4)
    assert future.lengths.tolist() == [length + horizon for length in LENGTHS]
    for series, length in enumerate(LENGTHS):
        rows = future.rows(series)
        own = truth.filter(pl.col("s") == str(series))[: length + horizon]
        assert future.schema.time_format.write(future.stamps[rows]).to_list() == own["month"].to_list()
        np.testing.assert_allclose(
            future.known[rows, 0], own["month"].dt.month().to_numpy() / 11 - 1 / 11 - 0.5, atol=1e-6
        )
        np.testing.assert_array_equal(future.values[rows][:length], panel.values[panel.rows(series)])
        assert future.observed[rows, 0].tolist() == [True] * length + [False] * horizon


def test_the_future_with_covariates():
    """Rows with empty targets at the end of a series give its known covariates; those beyond the horizon are cut."""
    table = frame(extra=4)
    columns = Columns(time="month", series="s", target="y", known="price")
    panel = read_panel(table, columns)
    assert panel.history.tolist() == list(LENGTHS)
    future = panel.future(3)
    assert future.lengths.tolist() == [length + 3 for length in LENGTHS]
    for series, length in enumerate(LENGTHS):
        own = table.filter(pl.col("s") == str(series))[: length + 3]
        np.testing.assert_allclose(future.known[future.rows(series), 1], own["price"].to_numpy(), rtol=1e-6)
        assert not future.observed[future.rows(series)][length:].any()
        assert not future.values[future.rows(series)][length:].any()


def test_missing_covariates_of_the_future():
    panel = read_panel(frame(extra=2), Columns(time="month", series="s", target="y", known="price"))
    panel.future(2)
    with pytest.raises(DataError, match=r"2 rows after the last value of 0.*3 rows that hold price"):
        panel.future(3)


def test_select():
    panel = read_panel(frame(), Columns(time="month", series="s", target="y", known="price"))
    chosen = panel.select(np.array([2, 0]))
    assert chosen.ids["s"].to_list() == ["2", "0"]
    np.testing.assert_array_equal(
        chosen.values, np.concatenate([panel.values[panel.rows(2)], panel.values[panel.rows(0)]])
    )
    np.testing.assert_array_equal(chosen.known[3:], panel.known[panel.rows(0)])
