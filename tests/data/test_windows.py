"""Windows hold exactly the rows they should, against a plain loop; orders are fixed; nothing crosses a border."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echoic.data.columns import Columns
from echoic.data.panel import Panel, Part
from echoic.data.panel_reader import read_panel
from echoic.data.windows import Sampling, WindowBatch, Windows, forecast_windows
from echoic.errors import DataError


def panel_of(lengths: list[int], missing: float = 0.0) -> Panel:
    """Series of these lengths with two targets, a known, a past and two static covariates, all values different."""
    random = np.random.default_rng(sum(lengths))
    parts = []
    for series, length in enumerate(lengths):
        values = random.normal(size=(length, 4))
        values[:, :2][random.random((length, 2)) < missing] = np.nan
        values[0, 0] = values[-1, 1] = 1.5
        columns = dict(zip(("y", "z", "known", "past"), values.T, strict=True))
        parts.append(
            pl.DataFrame(
                {"t": np.arange(length), "s": f"s{series}", "kind": "ab"[series % 2], "size": float(series), **columns}
            )
        )
    return read_panel(
        pl.concat(parts).with_columns(pl.col("y", "z").fill_nan(None)),
        Columns(time="t", series="s", target=("y", "z"), known="known", past="past", static=("kind", "size")),
    )


def expected(panel: Panel, series: int, position: int, lookback: int, horizon: int) -> dict[str, np.ndarray]:
    """A window, row by row."""
    begin = panel.offsets[series]

    def rows(array: np.ndarray, first: int, last: int) -> np.ndarray:
        zero = np.zeros(array.shape[1:], array.dtype)
        return np.stack([array[begin + i] if i >= 0 else zero for i in range(first, last)])

    past, future = (position - lookback, position), (position, position + horizon)
    return {
        "past_values": rows(panel.values, *past), "past_observed": rows(panel.observed, *past),
        "future_values": rows(panel.values, *future), "future_observed": rows(panel.observed, *future),
        "past_known": rows(panel.known, *past), "future_known": rows(panel.known, *future),
        "past_only": rows(panel.past, *past),
        "static_codes": panel.static_codes[series], "static_numbers": panel.static_numbers[series],
    }  # fmt: skip


def check(panel: Panel, batch: WindowBatch, lookback: int, horizon: int) -> None:
    for i, (series, position) in enumerate(zip(batch.series.tolist(), batch.position.tolist(), strict=True)):
        for name, truth in expected(panel, series, position, lookback, horizon).items():
            np.testing.assert_array_equal(getattr(batch, name)[i].numpy(), truth, err_msg=name)


@settings(deadline=None, max_examples=60)
@given(
    lengths=st.lists(st.integers(1, 14), min_size=1, max_size=5), lookback=st.integers(1, 9), horizon=st.integers(1, 4),
    stride=st.integers(1, 3), missing=st.sampled_from([0.0, 0.5]),
)  # fmt: skip
def test_held_out_windows(lengths: list[int], lookback: int, horizon: int, stride: int, missing: float):
    """Every window of a part that begins within the series is there once, counted back from the end by the stride."""
    panel = panel_of(lengths, missing)
    begin = panel.history // 3
    part = Part(panel, begin, panel.history)
    truth = []
    for series, end in enumerate(panel.history):
        least = 1 if begin[series] > 0 else min(max((end - horizon) // 2, 1), lookback)
        positions = list(range(end - horizon, max(begin[series], least) - 1, -stride))[::-1]
        for p in positions:
            rows = panel.observed[panel.rows(series)].any(axis=1)
            if rows[max(p - lookback, 0) : p].any() and rows[p : p + horizon].any():
                truth.append((series, p))
    if not truth:
        with pytest.raises(DataError, match="at least"):
            Windows(part, lookback, horizon, 4, stride)
        return
    windows = Windows(part, lookback, horizon, 4, stride)
    batches = list(windows.epoch(0))
    found = [pair for batch in batches for pair in zip(batch.series.tolist(), batch.position.tolist(), strict=True)]
    assert found == truth
    assert (windows.count, len(windows)) == (len(truth), len(batches))
    for batch in batches:
        check(panel, batch, lookback, horizon)
    padded = sum(max(lookback - p, 0) for _, p in truth)
    assert windows.padding_share == pytest.approx(padded / (lookback * len(truth)))


def test_shapes_and_types():
    batch = next(Windows(Part.whole(panel_of([20, 7])), 6, 3, 5).epoch(0))
    shapes = {name: (tuple(tensor.shape), str(tensor.dtype)) for name, tensor in batch._asdict().items()}
    floats, flags, codes = "torch.float32", "torch.bool", "torch.int64"
    assert shapes == {
        "past_values": ((5, 6, 2), floats),
        "past_observed": ((5, 6, 2), flags),
        "future_values": ((5, 3, 2), floats),
        "future_observed": ((5, 3, 2), flags),
        "past_known": ((5, 6, 1), floats),
        "future_known": ((5, 3, 1), floats),
        "past_only": ((5, 6, 1), floats),
        "static_codes": ((5, 1), codes),
        "static_numbers": ((5, 1), floats),
        "series": ((5,), codes),
        "position": ((5,), codes),
    }


def test_the_training_order():
    """Each window once an epoch, another order in each, the same again from the same seed, from any batch on."""
    windows = Windows(Part.whole(panel_of([30, 12, 25])), 4, 2, 7, sampling=Sampling(seed=5))
    orders = [
        [
            (s, p)
            for batch in windows.epoch(e)
            for s, p in zip(batch.series.tolist(), batch.position.tolist(), strict=True)
        ]
        for e in (0, 1, 0)
    ]
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1])
    assert len(set(orders[0])) == windows.count
    resumed = [p for batch in windows.epoch(1, start=3) for p in batch.position.tolist()]
    assert resumed == [p for _, p in orders[1]][21:]
    other = Windows(Part.whole(panel_of([30, 12, 25])), 4, 2, 7, sampling=Sampling(seed=6))
    assert [p for batch in other.epoch(0) for p in batch.position.tolist()] != [p for _, p in orders[0]]


def test_samples_are_even_over_series():
    panel = panel_of([200, 12, 3, 12])  # the third has room for one window only
    windows = Windows(Part.whole(panel), 4, 2, 50, sampling=Sampling(seed=1, samples=4000))
    assert len(windows) == 80
    counts = np.zeros(4)
    for batch in windows.epoch(3):
        counts += np.bincount(batch.series.numpy(), minlength=4)
        check(panel, WindowBatch(*(tensor[:2] for tensor in batch)), 4, 2)
    assert counts.sum() == 4000
    assert np.abs(counts - 1000).max() < 150


def test_long_series_are_not_padded_and_short_ones_train():
    lookback, horizon = 24, 6
    assert Windows(Part.whole(panel_of([100])), lookback, horizon, 8).padding_share == 0
    short = Windows(Part.whole(panel_of([horizon + 1])), lookback, horizon, 8)
    assert short.count == 1
    assert short.padding_share == pytest.approx(23 / 24)
    with pytest.raises(DataError, match="at most 6 rows"):
        Windows(Part.whole(panel_of([horizon])), lookback, horizon, 8)


def test_forecast_windows():
    panel = panel_of([5, 11, 3])
    future = read_panel(
        pl.DataFrame({"t": list(range(5)) + list(range(9)), "s": ["a"] * 5 + ["b"] * 9, "y": np.arange(14.0)}),
        Columns(time="t", series="s", target="y"),
    ).future(4)
    batch = next(forecast_windows(future, 7, 4, 8).epoch(0))
    assert batch.position.tolist() == [5, 9]
    assert batch.past_values[0, :, 0].tolist() == [0, 0, 0, 1, 2, 3, 4]
    assert batch.past_values[1, :, 0].tolist() == [7, 8, 9, 10, 11, 12, 13]
    assert not batch.future_observed.any()
    check(future, batch, 7, 4)
    assert len(panel) == 3
