"""Stocks, exchange rates, weather, traffic and sales: one forecaster each, with default options, beside the baselines.

    python benchmarks/everyday.py DATA [--max-minutes 2] [--only traffic] [--out runs]

DATA is the folder that holds forecasting/exchange-rate, los-loop, aus-retail and gafa-stock. The weather of Seattle
comes with the package vega_datasets (``pip install vega_datasets``); it is left out, and said, where that is not there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

import echoic

SHOWN = ("mae", "rmse", "smape", "mase")


class Case(NamedTuple):
    """A table with the options that say what it means."""

    table: pl.DataFrame
    options: dict[str, Any]


def _numbered(table: pl.DataFrame, name: str) -> pl.DataFrame:
    """With a column that counts the steps, for tables that have no times."""
    return table.with_row_index(name).with_columns(pl.col(name).cast(pl.Int64))


def rates(data: Path) -> Case:
    """Exchange rates of eight countries, three days ahead."""
    table = pl.read_csv(data / "forecasting/exchange-rate/exchange_rate.txt.gz", has_header=False)
    options = {"horizon": 3, "lookback": 96, "split": "0.6/0.2/0.2", "target": table.columns}
    return Case(_numbered(table, "day"), {**options, "time": "day"})


def traffic(data: Path) -> Case:
    """Speed at 207 sensors, a quarter of an hour (three steps) ahead from an hour."""
    table = pl.read_csv(data / "forecasting/los-loop/los_speed.csv.gz")
    options = {"horizon": 3, "lookback": 12, "split": "0.7/0.1/0.2", "target": table.columns}
    return Case(_numbered(table, "step"), {**options, "time": "step"})


def sales(data: Path) -> Case:
    """Monthly retail turnover of 152 series, a year ahead."""
    table = pl.read_csv(data / "forecasting/aus-retail/aus_retail.csv.gz")
    columns = {"time": "month", "series": ["series_id"], "target": ["turnover"], "static": ["state", "industry"]}
    return Case(table, {**columns, "horizon": 12, "lookback": 36})


def stocks(data: Path) -> Case:
    """Closing prices of four stocks, five trading days ahead."""
    table = pl.read_csv(data / "forecasting/gafa-stock/gafa_stock.csv.gz").select("symbol", "date", "close")
    columns = {"time": "date", "series": ["symbol"], "target": ["close"], "frequency": "business-daily"}
    return Case(table, {**columns, "horizon": 5, "lookback": 60, "split": "0.7/0.1/0.2"})


def weather(data: Path) -> Case | None:
    """Daily highest temperature in Seattle, a week ahead."""
    package = find_spec("vega_datasets")  # not imported: it wants pandas, and only its file is needed
    if package is None or package.origin is None:
        return None
    path = Path(package.origin).parent / "_data/seattle-weather.csv"
    table = pl.read_csv(path).select("date", "temp_max", "temp_min", "wind", "precipitation")
    columns = {"time": "date", "target": ["temp_max"], "past": ["temp_min", "wind", "precipitation"]}
    return Case(table, {**columns, "horizon": 7, "lookback": 56, "split": "0.6/0.2/0.2"})


CASES: dict[str, Callable[[Path], Case | None]] = {
    "rates": rates,
    "traffic": traffic,
    "sales": sales,
    "stocks": stocks,
    "weather": weather,
}


def main() -> None:
    """Train each and print its scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--max-minutes", type=float, default=2.0)
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    for name in [arguments.only] if arguments.only else CASES:
        case = CASES[name](arguments.data)
        if case is None:
            print(f"\n{name}: left out, vega_datasets is not installed")
            continue
        model = echoic.Forecaster(max_minutes=arguments.max_minutes, **case.options)
        model.fit(case.table, out=arguments.out / name, overwrite=True)
        print(f"\n{name}: {CASES[name].__doc__} {model.metrics['seconds'] / 60:.1f} minutes", flush=True)
        print(f"{'':16}" + "".join(f"{metric:>10}" for metric in SHOWN))
        for method, scores in {"echoic": model.metrics["test"], **model.metrics["baselines"]}.items():
            print(f"{method:16}" + "".join(f"{scores.get(metric, float('nan')):10.4f}" for metric in SHOWN))


if __name__ == "__main__":
    main()
