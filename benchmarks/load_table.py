"""Seconds and memory to load a table of five million rows and window it; and the loader's own share of an epoch.

    python benchmarks/load_table.py [--rows 5000000] [--series 1000]

Makes the table in a temporary folder, then reads and windows it in a process of its own for each format, so that the
peak of resident memory belongs to that format alone. The goal is 10 seconds and 2 GiB on two cores.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

LOOKBACK, HORIZON, BATCH = 96, 12, 256


def make_table(rows: int, series: int) -> pl.DataFrame:
    """An hourly table: time, series, a target and two covariates."""
    random = np.random.default_rng(0)
    length = rows // series
    hours = pl.datetime_range(
        pl.datetime(2015, 1, 1), pl.datetime(2015, 1, 1) + pl.duration(hours=length - 1), "1h", eager=True
    )
    count = length * series
    season = np.sin(np.arange(length) * (2 * np.pi / 24))
    return pl.DataFrame(
        {
            "time": pl.concat([hours] * series).dt.to_string("%Y-%m-%d %H:%M:%S"),
            "series": np.repeat([f"store {i:06d}" for i in range(series)], length),
            "sales": (np.tile(season, series) * 20 + random.normal(100, 5, count)).round(3),
            "price": random.uniform(1, 9, count).round(2),
            "visits": random.poisson(30, count),
        }
    )


def load(path: str) -> dict[str, float]:
    """Read the table, cut and window it, and take 200 batches."""
    from echoic.data.columns import Columns
    from echoic.data.panel_reader import read_panel
    from echoic.data.splits import cut
    from echoic.data.windows import Sampling, Windows

    begin = time.perf_counter()
    columns = Columns(time="time", series=("series",), target=("sales",), known=("price",), past=("visits",))
    panel = read_panel(path, columns)
    read = time.perf_counter() - begin
    parts = cut(panel, HORIZON)
    windows = Windows(parts.train, LOOKBACK, HORIZON, BATCH, sampling=Sampling(0))
    total = time.perf_counter() - begin
    held_out = Windows(parts.test, LOOKBACK, HORIZON, BATCH, stride=HORIZON)
    begin = time.perf_counter()
    batches = 0
    for batches, _ in enumerate(windows.epoch(0), 1):
        if batches == 200:
            break
    batch = (time.perf_counter() - begin) / batches
    return {
        "rows": len(panel.stamps), "series": len(panel), "windows": windows.count, "test_windows": held_out.count,
        "read_s": round(read, 2), "read_and_window_s": round(total, 2), "batch_ms": round(batch * 1e3, 3),
        "peak_mib": round(peak()),
    }  # fmt: skip


def peak() -> float:
    """Largest resident size of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Make, load, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--load", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        print(json.dumps(load(options.load)))
        return
    with tempfile.TemporaryDirectory() as folder:
        table = make_table(options.rows, options.series)
        paths = [Path(folder) / "table.csv", Path(folder) / "table.parquet"]
        table.write_csv(paths[0])
        table.write_parquet(paths[1])
        del table
        for path in paths:
            print(f"{path.name}: {path.stat().st_size / 2**20:.0f} MiB", flush=True)
            done = subprocess.run([sys.executable, __file__, "--load", str(path)], stdout=subprocess.PIPE, check=True)
            for name, value in json.loads(done.stdout).items():
                print(f"  {name:18} {value:>12,}")


if __name__ == "__main__":
    main()
