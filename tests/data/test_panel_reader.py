"""From tables of every disorder to the same panel."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.shared_data import shared_data

from echoic.data.columns import Columns
from echoic.data.covariates import CovariateScales
from echoic.data.panel import Part
from echoic.data.panel_reader import Reading, read_panel
from echoic.data.schema import Schema
from echoic.errors import DataError, OptionError
from echoic.notices import collected

COLUMNS = Columns(
    time="day", series="store", target=("sales", "visits"), known="price", past="rain", static=("town", "area")
)


def tidy(days: int = 12) -> pl.DataFrame:
    """Two stores of unequal length, all values different, in order."""
    random = np.random.default_rng(1)
    parts = []
    for store, town, area, length in (("b", "X", 3.5, days), ("a", "Y", 7.25, days - 4)):
        start = dt.date(2024, 2, 25)
        parts.append(
            pl.DataFrame(
                {
                    "day": pl.date_range(start, start + dt.timedelta(days=length - 1), eager=True),
                    "store": store, "town": town, "area": area,
                    "sales": random.normal(size=length), "visits": random.normal(size=length),
                    "price": random.uniform(2, 9, length), "rain": random.choice(["yes", "no"], length),
                }
            )
        )  # fmt: skip
    return pl.concat(parts)


def same(one, other) -> None:
    for name in ("offsets", "stamps", "values", "observed", "known", "past", "static_codes", "static_numbers"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert one.ids.equals(other.ids)
    assert one.schema.categories == other.schema.categories


def test_a_panel_holds_the_table():
    frame = tidy()
    panel = read_panel(frame, COLUMNS)
    assert panel.ids["store"].to_list() == ["b", "a"]
    assert panel.lengths.tolist() == [12, 8]
    assert panel.frequency.name == "daily"
    np.testing.assert_allclose(panel.values, frame.select("sales", "visits").to_numpy(), rtol=1e-6)
    assert panel.observed.all()
    assert panel.known_names == ("day of week", "day of month", "day of year", "price")
    np.testing.assert_allclose(panel.known[:, 3], frame["price"].to_numpy(), rtol=1e-6)
    assert panel.past_names == ("rain=no", "rain=yes")
    assert panel.past[:, 1].tolist() == (frame["rain"] == "yes").to_list()
    assert (panel.static_codes.tolist(), panel.static_sizes) == ([[1], [2]], (3,))
    assert panel.static_numbers.tolist() == [[3.5], [7.25]]
    assert (panel.name(1), panel.rows(1)) == ("a", slice(12, 20))
    assert panel.schema.time_format.write(panel.stamps[:1]).to_list() == [dt.date(2024, 2, 25)]


def test_order_and_format_change_nothing(tmp_path: Path):
    """Shuffled, by time instead of by series, and through CSV, TSV and Parquet: the same panel."""
    frame = tidy()
    truth = read_panel(frame, COLUMNS)
    same(read_panel(frame.sort("day", maintain_order=True), COLUMNS), truth)
    frame.write_csv(tmp_path / "a.csv")
    frame.write_csv(tmp_path / "a.tsv", separator="\t")
    frame.write_parquet(tmp_path / "a.parquet")
    for name in ("a.csv", "a.tsv", "a.parquet"):
        same(read_panel(tmp_path / name, COLUMNS), truth)
    first = frame.head(1)
    shuffled = pl.concat([first, frame[1:].sample(fraction=1, shuffle=True, seed=4)])
    with collected() as notices:
        same(read_panel(shuffled, COLUMNS), truth)
    assert "not in order of time" in notices[0]


@pytest.mark.parametrize(("gaps", "filled"), [("forward", [4, 4]), ("interpolate", [5, 6]), ("zero", [0, 0])])
def test_missing_rows(gaps: str, filled: list[float]):
    frame = pl.DataFrame({"t": [1, 2, 3, 6, 7], "y": [1.0, 2, 4, 7, 8]})
    with collected() as notices:
        panel = read_panel(frame, Columns(time="t", target="y"), Reading(gaps=gaps))
    assert panel.values[:, 0].tolist() == [1, 2, 4, *filled, 7, 8]
    assert panel.observed[:, 0].tolist() == [True, True, True, False, False, True, True]
    assert panel.stamps.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert "2 missing rows" in notices[0]
    assert "2 target values missing" in notices[1]


def test_missing_values_count_by_column():
    frame = pl.DataFrame({"t": [1, 2, 3, 4], "y": [None, 2.0, None, 5], "z": [1.0, 2, 3, None], "k": [1.0, None, 3, 4]})
    panel = read_panel(frame, Columns(time="t", target=("y", "z"), known="k"))
    assert panel.values.tolist() == [[2, 1], [2, 2], [2, 3], [5, 3]]
    assert panel.observed.tolist() == [[False, True], [True, True], [False, True], [True, False]]
    assert panel.known[:, 0].tolist() == [1, 1, 3, 4]
    assert panel.history.tolist() == [4]


def test_repeated_rows():
    frame = pl.DataFrame({"t": [1, 2, 2, 3], "s": ["a"] * 4, "y": [1.0, 2, 6, 3]})
    columns = Columns(time="t", series="s", target="y")
    with pytest.raises(DataError, match=r"row 3: found 2 again after row 2 \(1 repeated row in all\)"):
        read_panel(frame, columns)
    for policy, value in (("mean", 4), ("sum", 8), ("last", 6)):
        assert read_panel(frame, columns, Reading(duplicates=policy)).values[:, 0].tolist() == [1, value, 3]
    with pytest.raises(DataError, match="--series"):
        read_panel(frame, Columns(time="t", target="y"))


def test_rows_of_faults_survive_sorting(tmp_path: Path):
    """In a table that has to be sorted, the row named is the one of the file."""
    path = tmp_path / "a.csv"
    path.write_text("t,s,y\n3,a,1\n2,b,2\n1,a,3\n2,b,4\n2,a,5\n")
    with pytest.raises(DataError, match="row 5: found 2 again after row 3"):
        read_panel(path, Columns(time="t", series="s", target="y"))


def test_no_time_column():
    """Rows are numbered within each series, in the order of the table."""
    frame = pl.DataFrame({"s": ["a", "b", "a", "b", "a"], "y": [1.0, 2, 3, 4, 5]})
    panel = read_panel(frame, Columns(series="s", target="y"))
    assert panel.values[:, 0].tolist() == [1, 3, 5, 2, 4]
    assert panel.stamps.tolist() == [0, 1, 2, 0, 1]
    assert panel.frequency.name == "steps of 1"


def test_series_without_values_are_left_out():
    frame = pl.DataFrame({"t": [1, 2, 1, 2, 1, 2], "s": list("aabbcc"), "y": [1.0, 2, None, None, 5, 6]})
    with collected() as notices:
        panel = read_panel(frame, Columns(time="t", series="s", target="y"))
    assert panel.ids["s"].to_list() == ["a", "c"]
    assert panel.values[:, 0].tolist() == [1, 2, 5, 6]
    assert any("1 of 3 series" in text for text in notices)


def test_another_table_is_read_alike():
    """Categories keep their codes, and the schema survives JSON; what training had not seen is said."""
    frame = tidy()
    schema = Schema.model_validate_json(read_panel(frame, COLUMNS).schema.model_dump_json())
    other = frame.filter(pl.col("store") == "a").with_columns(rain=pl.lit("hail"), town=pl.lit("Y"))
    with collected() as notices:
        panel = read_panel(other, schema=schema)
    assert panel.static_codes.tolist() == [[2]]
    assert panel.past_names == ("rain=no", "rain=yes")
    assert not panel.past.any()
    assert any('"hail"' in text for text in notices)
    with pytest.raises(DataError, match="daily steps"):
        read_panel(
            other.with_columns(day=pl.col("day").cast(pl.Datetime) + pl.duration(hours=pl.int_range(8))), schema=schema
        )
    with pytest.raises(OptionError, match="price"):
        read_panel(other.drop("price"), schema=schema)


def test_two_files_join(tmp_path: Path):
    frame = tidy().sort("day", maintain_order=True)
    frame[:13].write_csv(tmp_path / "early.csv")
    frame[13:].write_csv(tmp_path / "late.csv")
    same(read_panel([tmp_path / "early.csv", tmp_path / "late.csv"], COLUMNS), read_panel(frame, COLUMNS))
    late = frame[13:].with_columns(pl.col("sales").cast(pl.String)).with_row_index("i")
    late = late.with_columns(sales=pl.when(pl.col("i") == 2).then(pl.lit("x")).otherwise("sales")).drop("i")
    late.write_csv(tmp_path / "late.csv")
    with pytest.raises(DataError, match='row 4, column "sales"'):
        read_panel([tmp_path / "early.csv", tmp_path / "late.csv"], COLUMNS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"town": pl.col("store") + pl.col("day").cast(pl.String)}, 'column "town": found "b2024-02-26"'),
        ({"rain": pl.col("day").cast(pl.String) + pl.col("store") + pl.col("sales").cast(pl.String)}, None),
        (
            {"store": pl.when(pl.col("day").dt.day() == 28).then(None).otherwise("store")},
            'column "store": found no series id',
        ),
        ({"price": pl.lit(None, pl.Float64)}, 'column "price": found no value at all'),
    ],
)
def test_faults(change: dict, message: str | None):
    frame = tidy(80) if message is None else tidy()
    with pytest.raises(DataError, match=message or "different texts"):
        read_panel(frame.with_columns(**change), COLUMNS)


def test_unknown_policies():
    for reading in (Reading(gaps="ffill"), Reading(duplicates="first"), Reading(frequency="fortnightly")):
        with pytest.raises(OptionError, match="expected one of"):
            read_panel(tidy(), COLUMNS, reading)


def test_scales_come_from_the_training_part_alone():
    panel = read_panel(tidy(), COLUMNS)
    part = Part(panel, np.array([0, 0]), np.array([6, 3]))
    scales = CovariateScales.model_validate_json(CovariateScales.fit(part).model_dump_json())
    scaled = scales.apply(panel)
    rows = np.r_[0:6, 12:15]
    np.testing.assert_allclose(scaled.known[rows, 3].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.known[rows, 3].std(), 1, atol=1e-5)
    np.testing.assert_array_equal(scaled.known[:, :3], panel.known[:, :3])
    np.testing.assert_array_equal(scaled.past, panel.past)
    np.testing.assert_allclose(scaled.static_numbers.ravel(), [-1, 1], atol=1e-5)


def test_gafa_holidays():
    """Stocks trade on Monday to Friday without holidays: nothing is filled, and forecasts fall on weekdays."""
    with collected() as notices:
        panel = read_panel(shared_data("forecasting/gafa-stock/gafa_stock.csv.gz"))
    assert (len(panel), panel.frequency.name, panel.observed.all()) == (4, "business-daily", True)
    assert panel.lengths.tolist() == [1258] * 4
    ahead = panel.schema.time_format.write(panel.future(5).stamps[1258:1263]).to_list()
    assert ahead == ["2019-01-01", "2019-01-02", "2019-01-03", "2019-01-04", "2019-01-07"]
    assert any("holidays" in text for text in notices)


def test_aus_retail():
    panel = read_panel(shared_data("forecasting/aus-retail/aus_retail.csv.gz"))
    assert (len(panel), panel.frequency.name, panel.frequency.season) == (152, "monthly", 12)
    assert panel.observed.sum() == 64_532
    assert panel.static_sizes == (9, 21)
