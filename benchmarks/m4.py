"""The M4 competition's hourly and weekly series, by its own rules: sMAPE, MASE and OWA on the official test part.

    python benchmarks/m4.py FOLDER [--frequency hourly] [--frequency weekly] [--max-minutes 10] [--out runs]

FOLDER holds hourly-train.csv.gz, hourly-test.csv.gz and so on, a series in each line (``id,v1,v2,...``), as the
competition gives them. They are written as long tables with made-up times, all series ending at the same moment, and
trained on as anybody would: ``echoic train forecast hourly-train.csv --test hourly-test.csv --horizon 48``.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

import echoic

END = datetime(2020, 1, 1)  # of every training part
STEPS = {"hourly": timedelta(hours=1), "weekly": timedelta(weeks=1)}
OPTIONS: dict[str, dict[str, Any]] = {
    # Times are made up, so that the calendar means nothing.
    "hourly": {"horizon": 48, "lookback": 336, "calendar": False},
    "weekly": {"horizon": 13, "lookback": 52, "calendar": False, "split": "0.985/0.015"},
}
PUBLISHED = {
    "hourly": {"ES-RNN (winner)": 0.440, "Theta": 1.006, "competition's RNN": 1.036},
    "weekly": {"ES-RNN (winner)": 0.851, "Theta": 0.971, "competition's RNN": 1.755},
}


def long_table(path: Path, step: timedelta, future: bool) -> pl.DataFrame:
    """A wide file as rows of series, time and value; ``future`` rows begin at ``END``, others end before it."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = [line.rstrip("\n").split(",") for line in file]
    tables = []
    for name, *cells in lines:
        values = [float(cell) for cell in cells if cell]
        start = END if future else END - step * len(values)
        times = pl.datetime_range(start, start + step * (len(values) - 1), step, eager=True)
        tables.append(pl.DataFrame({"series": [name] * len(values), "time": times, "value": values}))
    return pl.concat(tables)


def train(folder: Path, frequency: str, out: Path, max_minutes: float) -> dict[str, Any]:
    """Train on one frequency and return the run's metrics."""
    with tempfile.TemporaryDirectory() as scratch:
        files = {part: Path(scratch) / f"{frequency}-{part}.csv" for part in ("train", "test")}
        for part, path in files.items():
            table = long_table(folder / f"{frequency}-{part}.csv.gz", STEPS[frequency], future=part == "test")
            table.write_csv(path, datetime_format="%Y-%m-%d %H:%M")
        forecaster = echoic.Forecaster(
            time="time", series=["series"], target=["value"], test=files["test"], max_minutes=max_minutes, epochs=1000,
            **OPTIONS[frequency],
        )  # fmt: skip
        forecaster.fit(files["train"], out=out / f"m4-{frequency}", overwrite=True)
    return forecaster.metrics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frequency", action="append", choices=list(STEPS))
    parser.add_argument("--max-minutes", type=float, default=9.5)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    for frequency in arguments.frequency or STEPS:
        metrics = train(arguments.folder, frequency, arguments.out, arguments.max_minutes)
        print(f"\nM4 {frequency}: {metrics['parameters']:,} weights, {metrics['seconds'] / 60:.1f} minutes")
        print(f"{'':20s} {'sMAPE':>8s} {'MASE':>8s} {'OWA':>8s}")
        for name, scores in {"echoic": metrics["test"], **metrics["baselines"]}.items():
            print(f"{name:20s} {scores['smape']:8.3f} {scores['mase']:8.3f} {scores.get('owa', float('nan')):8.3f}")
        for name, value in PUBLISHED[frequency].items():
            print(f"{name:20s} {'':8s} {'':8s} {value:8.3f}  published")


if __name__ == "__main__":
    main()
