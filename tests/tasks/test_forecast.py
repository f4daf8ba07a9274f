"""The forecast task from table to table: parts without leakage, baselines on the same rows, covariates, predictions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import torch

from echoic.errors import DataError, OptionError
from echoic.models.backtest import model_forecasts
from echoic.notices import collected
from echoic.tasks.forecast import Forecast
from echoic.tasks.options import settings_from
from echoic.training.trainer import Trainer

START = np.datetime64("2023-01-02")


def sales(days: int = 120, shops: tuple[str, ...] = ("north", "south"), seed: int = 0) -> pl.DataFrame:
    """Daily sales with a weekly season, a price that moves them, and a size of the shop."""
    generator = np.random.default_rng(seed)
    parts = []
    for number, shop in enumerate(shops):
        price = generator.choice([1.0, 2.0], size=days)
        units = 30 * (number + 1) + 8 * np.sin(2 * np.pi * np.arange(days) / 7) - 9 * price
        units += generator.normal(0, 0.5, size=days)
        table = {"day": START + np.arange(days), "shop": [shop] * days, "units": units, "price": price}
        parts.append(pl.DataFrame(table | {"floor": [100 * (number + 1)] * days}))
    return pl.concat(parts)


def task(**options) -> Forecast:
    given = {"hidden_size": 6, "epochs": 1, "horizon": 4, "lookback": 14, "split": "0.6/0.2/0.2", "target": ["units"]}
    return Forecast(settings_from(Forecast.Settings, given | options))


def fitted(made: Forecast, source) -> tuple[torch.nn.Module, object]:
    splits = made.prepare(source)
    torch.manual_seed(0)
    return made.build_model().eval(), splits


def test_parts_share_no_target_and_follow_each_other():
    made = task()
    splits = made.prepare(sales())
    parts = [splits.train.raw, splits.validation.raw, splits.test.raw]
    for earlier, later in pairwise(parts):
        assert (earlier.end <= later.begin).all()
    assert [int(p.lengths.sum()) for p in parts] == [144, 48, 48]


def test_scales_come_from_the_training_part_alone():
    table = sales()
    made, other = task(), task()
    made.prepare(table)
    late = pl.col("day") >= START + np.timedelta64(72)
    other.prepare(table.with_columns(units=pl.when(late).then(pl.col("units") * 1000).otherwise(pl.col("units"))))
    assert made.preprocessing == other.preprocessing
    for shop in ("north", "south"):
        units = table.filter(pl.col("shop") == shop)["units"].to_numpy()[:72]
        assert made.preprocessing.targets.mean[shop] == pytest.approx([units.mean()], rel=1e-5)
        assert made.preprocessing.targets.deviation[shop] == pytest.approx([units.std()], rel=1e-5)


def test_each_series_is_scaled_by_itself():
    made = task()
    train = made.prepare(sales()).train
    for series in range(2):
        rows = train.raw.panel.rows(series)
        values = train.scaled.panel.values[rows][: train.raw.end[series]]
        assert abs(values.mean()) < 1e-5
        assert values.std() == pytest.approx(1, rel=1e-4)


def test_backtest_scores_every_origin_in_the_unit_of_the_target():
    """Metrics of the seasonal naive baseline, computed from the table row by row."""
    table = sales()
    made = task()
    model, splits = fitted(made, table)
    evaluation = made.evaluate(model, splits.test, splits.train)
    errors, scales = [], []
    for shop in ("north", "south"):
        units = table.filter(pl.col("shop") == shop)["units"].to_numpy()
        scale = np.abs(units[7:96] - units[:89]).mean()
        for origin in range(96, 120 - 4 + 1):
            forecast = units[origin - 7 : origin - 3]
            errors += list(np.abs(units[origin : origin + 4] - forecast))
            scales += [scale] * 4
    seasonal = evaluation.baselines["seasonal_naive"]
    assert seasonal["mae"] == pytest.approx(np.mean(errors), rel=1e-4)
    assert seasonal["mase"] == pytest.approx(np.mean(np.array(errors) / scales), rel=1e-4)
    assert set(evaluation.baselines) == {"naive", "seasonal_naive", "drift", "linear"}
    assert {"mae", "rmse", "smape", "mase", "pinball", "coverage_80"} <= set(evaluation.metrics)


def test_model_forecasts_are_put_back_on_the_scale_of_each_series():
    """Two series that differ by a factor get forecasts that differ by it."""
    table = sales(shops=("one",))
    both = pl.concat([table, table.with_columns(shop=pl.lit("two"), units=pl.col("units") * 50 + 7)])
    made = task()
    model, splits = fitted(made, both)
    windows = made.batches(splits.test, training=False)
    point = model_forecasts(model, splits.test, windows, (0.1, 0.5, 0.9)).point
    half = len(point) // 2
    np.testing.assert_allclose(point[half:], point[:half] * 50 + 7, rtol=1e-3)


def test_one_forecast_for_each_series_is_scored_as_in_m4():
    table = sales().with_columns(day=pl.lit(START) + pl.duration(weeks=pl.int_range(120).over("shop")))
    made = task(horizon=6, lookback=12, split="108/6/6")
    model, splits = fitted(made, table)
    evaluation = made.evaluate(model, splits.test)
    assert evaluation.baselines["naive2"]["owa"] == pytest.approx(1)
    naive, reference = evaluation.baselines["naive"], evaluation.baselines["naive2"]
    expected = (naive["smape"] / reference["smape"] + naive["mase"] / reference["mase"]) / 2
    assert naive["owa"] == pytest.approx(expected)
    assert "owa" in evaluation.metrics
    many = task(split="0.6/0.2/0.2")
    model, splits = fitted(many, table)
    assert "owa" not in many.evaluate(model, splits.test).metrics


def test_test_data_in_a_file_of_their_own(tmp_path):
    table = sales()
    cut = START + np.timedelta64(110)
    table.filter(pl.col("day") < cut).write_csv(tmp_path / "train.csv")
    table.filter(pl.col("day") >= cut).write_csv(tmp_path / "test.csv")
    made = task(test=tmp_path / "test.csv", split=None, lookback=20)
    model, splits = fitted(made, tmp_path / "train.csv")
    assert (splits.test.raw.lengths == 10).all()
    assert (splits.validation.raw.end == 110).all()
    evaluation = made.evaluate(model, splits.test)
    assert evaluation.details.backtest.position.min() == 110
    made = task(test=tmp_path / "test.csv", validation=tmp_path / "test.csv", split=None)
    with pytest.raises(DataError):
        made.prepare(tmp_path / "train.csv")


def test_evaluate_scores_only_what_was_not_trained_on():
    made = task()
    table = sales()
    model, splits = fitted(made, table)
    part = made.read(table)
    assert part.raw.begin.tolist() == [96, 96]
    assert made.evaluate(model, part).metrics == made.evaluate(model, splits.test).metrics
    with collected() as said:
        again = made.read(table.filter(pl.col("day") < START + np.timedelta64(90)))
    assert again.raw.begin.tolist() == [0, 0]
    assert "seen then are scored too" in said[-1]
    stranger = made.read(sales(seed=3, shops=("east",)))
    assert stranger.raw.begin.tolist() == [0]
    assert np.isfinite(made.evaluate(model, stranger).metrics["mae"])


def test_predict_continues_the_table():
    made = task(known=["price"], static=["floor"])
    table = sales()
    days = np.concatenate([START + 120 + np.arange(4)] * 2)
    future = pl.DataFrame({"day": days, "shop": ["north"] * 4 + ["south"] * 4, "units": [None] * 8})
    future = future.with_columns(price=pl.Series([1.0, 2, 1, 2] * 2), floor=pl.Series([100] * 4 + [200] * 4))
    whole = pl.concat([table, future.cast(table.schema)])
    model, _ = fitted(made, whole)
    made_table = made.predict(model, whole)
    assert made_table.columns == [*table.columns, "units_p10", "units_p50", "units_p90"]
    assert made_table.height == 8
    assert made_table["day"].to_list() == future["day"].cast(pl.Date).to_list()
    assert made_table["shop"].to_list() == future["shop"].to_list()
    assert made_table["price"].to_list() == future["price"].to_list()
    assert made_table["floor"].to_list() == [100] * 4 + [200] * 4
    assert made_table["units"].to_list() == made_table["units_p50"].to_list()
    assert (made_table["units_p10"] <= made_table["units_p90"]).all()
    with pytest.raises(DataError, match="price"):
        made.predict(model, table)


def test_predict_equals_the_backtest_of_the_same_origin():
    """Forecasting from a table cut at an origin gives what the backtest gave there."""
    table = sales()
    made = task(past=["price"])
    model, splits = fitted(made, table)
    evaluation = made.evaluate(model, splits.test)
    backtest, point = evaluation.details.backtest, evaluation.details.forecasts["model"].point
    ahead = made.predict(model, table.filter(pl.col("day") < START + np.timedelta64(110)))
    expected = point[(backtest.position == 110)]
    np.testing.assert_allclose(ahead["units"].to_numpy().reshape(2, 4), expected[..., 0], rtol=1e-3)


def test_a_table_without_times_or_names(tmp_path):
    table = pl.DataFrame({"load": np.sin(np.arange(200) / 3) + np.random.default_rng(0).normal(0, 0.1, 200)})
    table.write_csv(tmp_path / "load.csv")
    made = task(season=19, target=[])
    model, splits = fitted(made, tmp_path / "load.csv")
    assert made.preprocessing.normalise == "last"
    made_table = made.predict(model, tmp_path / "load.csv")
    assert made_table.columns == ["load", "load_p10", "load_p50", "load_p90"]
    assert made_table.height == 4
    assert "owa" not in made.evaluate(model, splits.test).metrics


def test_defaults_are_guessed_and_said():
    with collected() as said:
        made = task(horizon=None, lookback=None)
        made.prepare(sales())
    assert (made.preprocessing.horizon, made.preprocessing.season) == (14, 7)
    assert made.preprocessing.lookback % 7 == 0
    assert any("horizon 14" in text for text in said)
    assert made.preprocessing.calendar == ("day of week", "day of month")  # less than two years


def test_counts_are_required_by_the_negative_binomial():
    with pytest.raises(DataError, match="counts"):
        task(head="negative_binomial").prepare(sales())
    counts = sales().with_columns(units=pl.col("units").abs().round())
    made = task(head="negative_binomial")
    model, splits = fitted(made, counts)
    metrics = made.evaluate(model, splits.test).metrics
    assert 0 <= metrics["coverage_80"] <= 1
    made_table = made.predict(model, counts)
    assert (made_table["units"] == made_table["units"].round()).all()


def test_several_targets_and_every_model():
    table = sales().with_columns(cost=pl.col("units") * -3 + 1000)
    for name in ("segments", "direct", "autoregressive"):
        made = task(target=["units", "cost"], model=name, samples=8)
        model, splits = fitted(made, table)
        assert made.evaluate(model, splits.test, splits.train).baselines["drift"]["mae"] > 0
        assert "cost_p90" in made.predict(model, table).columns


def test_bidirectional_needs_direct():
    with pytest.raises(OptionError, match="direct"):
        task(bidirectional=True)
    assert task(bidirectional=True, model="direct")


def test_the_report_says_when_a_baseline_wins():
    made = task()
    model, splits = fitted(made, sales())
    sections = made.sections(model, splits, made.evaluate(model, splits.test, splits.train))
    assert [s.title for s in sections] == ["Forecasts over truth", "Beside simple methods", "Errors by step ahead"]
    assert sections[0].figures[0][1].startswith("<svg")
    assert "beats the model" in sections[1].text[0]  # an untrained one


@pytest.mark.slow
def test_training_beats_the_baselines_on_a_season_and_a_known_price():
    made = task(known=["price"], hidden_size=32, epochs=60, learning_rate=5e-3, lookback=21)
    splits = made.prepare(sales(days=400))
    torch.manual_seed(0)
    model = made.build_model()
    validate = lambda trained: made.validate(trained, splits.validation)  # noqa: E731
    Trainer(model, made.batches(splits.train, True), validate, made.settings.training, device="cpu").run()
    evaluation = made.evaluate(model, splits.test, splits.train)
    assert evaluation.metrics["mae"] < 0.3 * min(b["mae"] for b in evaluation.baselines.values())
    assert evaluation.metrics["coverage_80"] > 0.6


def test_names_may_be_given_alone_or_with_commas():
    assert task(target="units").settings.data.target == ["units"]
    assert task(target="units, price").settings.data.target == ["units", "price"]
    made = task(target="units", known="price")
    splits = made.prepare(sales())
    assert splits.train.raw.panel.known_names[-1] == "price"


def test_constant_series_and_long_gaps():
    """Neither breaks training or metrics; relative metrics leave the constant series out."""
    generator = np.random.default_rng(2)
    days = START + np.arange(90)
    flat = pl.DataFrame({"day": days, "shop": ["flat"] * 90, "units": [5.0] * 90})
    gaps = pl.DataFrame({"day": days, "shop": ["gaps"] * 90, "units": generator.normal(20, 3, 90)})
    gaps = gaps.filter(~pl.col("day").is_between(START + 20, START + 45))
    made = task(lookback=10)
    splits = made.prepare(pl.concat([flat, gaps]))
    torch.manual_seed(0)
    model = made.build_model()
    Trainer(model, made.batches(splits.train, True), lambda m: made.validate(m, splits.validation),
            made.settings.training, device="cpu").run()  # fmt: skip
    metrics = made.evaluate(model, splits.test, splits.train).metrics
    assert all(np.isfinite(value) for value in metrics.values())
    only = made.evaluate(model, made.read(flat.with_columns(units=pl.lit(5.0)).filter(pl.col("day") >= START)))
    assert "mase" not in only.metrics
    assert made.predict(model, flat)["units"].is_finite().all()
