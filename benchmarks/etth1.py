"""ETTh1, the customary long-horizon benchmark: seven channels, 96 hours seen, 96 foretold, standardised errors.

    python benchmarks/etth1.py ETTh1.csv.gz [--max-minutes 14] [--out runs]

The same as ``echoic train forecast ETTh1.csv.gz --lookback 96 --horizon 96 --split 8640/2880/2880`` (12, 4 and 4 months
of 30 days) with the options below. The best weights are chosen on the validation part; every window of the test part is
scored, with stride 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import echoic

OPTIONS = {
    "lookback": 96,
    "horizon": 96,
    "split": "8640/2880/2880",
    # Chosen on the validation part: errors are measured at one number for each hour, and a year of training is short.
    "head": "point",
    "calendar": False,
    "dropout": 0.5,
    "batch_size": 448,
    "epochs": 30,
}
PUBLISHED = {"SegRNN": (0.368, 0.395), "DLinear": (0.386, 0.400), "repeat last day": (0.512, 0.433)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--max-minutes", type=float, default=14.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    forecaster = echoic.Forecaster(**OPTIONS, max_minutes=arguments.max_minutes, seed=arguments.seed)
    forecaster.fit(arguments.data, out=arguments.out / "etth1", overwrite=True)
    metrics = forecaster.metrics
    print(f"\nETTh1, 96 to 96: {metrics['parameters']:,} weights, {metrics['seconds'] / 60:.1f} minutes")
    print(f"{'':28s} {'MSE':>8s} {'MAE':>8s}")
    for name, scores in {"echoic": metrics["test"], **metrics["baselines"]}.items():
        print(f"{name:28s} {scores['mse_standardised']:8.4f} {scores['mae_standardised']:8.4f}")
    for name, (mse, mae) in PUBLISHED.items():
        print(f"{name + ' (published)':28s} {mse:8.3f} {mae:8.3f}")


if __name__ == "__main__":
    main()
