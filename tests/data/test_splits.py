"""Cuts in time: the customary rows, and nothing of the future in training."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from tests.shared_data import shared_data

from echoic.data.columns import Columns
from echoic.data.panel import Panel
from echoic.data.panel_reader import read_panel
from echoic.data.splits import cut, hold_out, later_part
from echoic.data.windows import Windows
from echoic.errors import DataError, OptionError
from echoic.notices import collected


def panel_of(lengths: list[int], starts: list[int] | None = None) -> Panel:
    """Daily series, series i beginning on day starts[i]."""
    parts = [
        pl.DataFrame(
            {"day": np.datetime64("2024-01-01") + start + np.arange(length), "s": str(i), "y": np.arange(length) + 1.0}
        )
        for i, (length, start) in enumerate(zip(lengths, starts or [0] * len(lengths), strict=True))
    ]
    return read_panel(pl.concat(parts), Columns(time="day", series="s", target="y"))


def bounds(parts) -> list[list[tuple[int, int]]]:
    return [list(zip(part.begin.tolist(), part.end.tolist(), strict=True)) for part in parts]


def test_etth1_as_customary():
    """12, 4 and 4 months of 30 days: 8640, 2880 and 2880 rows, test windows from row 11,520 on, 2,785 at horizon 96."""
    panel = read_panel(shared_data("forecasting/etth1/ETTh1.csv.gz"))
    parts = cut(panel, 96, "8640/2880/2880")
    assert bounds(parts) == [[(0, 8640)], [(8640, 11520)], [(11520, 14400)]]
    train, test = Windows(parts.train, 96, 96, 64), Windows(parts.test, 96, 96, 64)
    assert (train.count, test.count) == (8640 - 96 - 96 + 1, 2880 - 96 + 1)
    batch = next(test.epoch(0))
    assert batch.position[0] == 11520
    np.testing.assert_array_equal(batch.past_values[0].numpy(), panel.values[11424:11520])


def test_shares():
    assert bounds(cut(panel_of([101]), 5, "0.7/0.1/0.2")) == [[(0, 70)], [(70, 80)], [(80, 101)]]
    assert bounds(cut(panel_of([100]), 5, "0.5/0.2/0.2")) == [[(0, 50)], [(50, 70)], [(70, 90)]]


def test_shares_of_several_series_cut_at_common_times():
    """A series that began late and one that ended early: no training row of either is later than a test row of any."""
    panel = panel_of([100, 40, 50], [0, 60, 0])
    parts = cut(panel, 5, "0.6/0.2/0.2")
    first_of_test, last_of_train = [], []
    for series in range(3):
        stamps = panel.stamps[panel.rows(series)]
        last_of_train += stamps[: parts.train.end[series]].tolist()
        first_of_test += stamps[parts.test.begin[series] : parts.test.end[series]].tolist()
        assert parts.train.end[series] == parts.validation.begin[series]
        assert parts.validation.end[series] == parts.test.begin[series]
    assert max(last_of_train) < min(first_of_test)
    assert sum(part.lengths.sum() for part in parts) == 190
    assert abs(parts.train.lengths.sum() - 114) <= 3


def test_the_last_horizons_of_short_series():
    """Series with three horizons and one row are cut; shorter ones only train, and those without a window are said."""
    with collected() as notices:
        parts = cut(panel_of([40, 22, 13, 12, 4]), 4)
    assert bounds(parts) == [
        [(0, 32), (0, 14), (0, 5), (0, 12), (0, 4)],
        [(32, 36), (14, 18), (5, 9), (12, 12), (4, 4)],
        [(36, 40), (18, 22), (9, 13), (12, 12), (4, 4)],
    ]
    assert Windows(parts.train, 8, 4, 16).count > 0
    assert Windows(parts.test, 8, 4, 16).count == 3
    assert any("1 of 5 series" in text and "5" in text for text in notices)


def test_long_series_are_cut_by_shares():
    assert bounds(cut(panel_of([300]), 10)) == [[(0, 210)], [(210, 240)], [(240, 300)]]
    assert bounds(cut(panel_of([299]), 10)) == [[(0, 279)], [(279, 289)], [(289, 299)]]


def test_hold_out_and_a_test_file():
    early, late = panel_of([30, 40]), panel_of([6, 5], [30, 40])
    train, validation = hold_out(early, 4)
    assert bounds([train, validation]) == [[(0, 26), (0, 36)], [(26, 30), (36, 40)]]
    joined = panel_of([36, 45])
    test = later_part(joined, late)
    assert bounds([test]) == [[(30, 36), (40, 45)]]
    assert bounds(hold_out(panel_of([100]), 4, "0.8/0.2")) == [[(0, 80)], [(80, 100)]]
    with pytest.raises(DataError, match="none of the series"):
        later_part(joined, read_panel(pl.DataFrame({"s": ["x", "x"], "y": [1, 2]}), Columns(series="s", target="y")))


@pytest.mark.parametrize(
    "split", ["", "0.7", "0.7/0.1", "a/b/c", "0.7/0.2/0.3", "-1/5/5", "0/0.5/0.5", "nan/0.1/0.1", "10/0.5/3"]
)
def test_splits_that_cannot_be_read(split: str):
    with pytest.raises(OptionError, match="8640/2880/2880"):
        cut(panel_of([100]), 5, split)


def test_too_short():
    with pytest.raises(DataError, match="at most 1 row of a series for training"):
        cut(panel_of([1]), 3)
    with pytest.raises(DataError, match="at most 2 rows of a series in the test part"):
        cut(panel_of([20]), 5, "10/8/5")
