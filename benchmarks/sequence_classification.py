"""Classes of short sequences: speakers, movements of a wrist, days of a power grid, splice junctions of DNA.

    python benchmarks/sequence_classification.py DATA [--only japanese-vowels ...] [--seeds 0 1 2] [--out runs]

DATA is a folder with a folder for each set: .ts.gz files in the official parts (validation is taken from the training
part), and splice.csv.gz, which is cut 80 / 10 / 10 by the seed with repeated sequences kept in one part. The best
weights are chosen on the validation part. Baselines are trained on the same rows.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import echoic


class Set(NamedTuple):
    """A data set: training file, test file (none: cut from the former), options, published test accuracy in %."""

    train: str
    test: str | None
    options: dict[str, Any]
    published: str


MOTION = {"cell": "GRU", "pooling": "max", "hidden_size": 64, "input_noise": 0.1}
SETS = {
    "japanese-vowels": Set(
        "JapaneseVowels_TRAIN.ts.gz", "JapaneseVowels_TEST.ts.gz",
        MOTION | {"batch_size": 16, "epochs": 60, "input_noise": 0.7},  # noise by 5 folds of the training part
        "FCN 99.3, ResNet 99.2, logistic regression 99.2, MLSTM-FCN 97.6",
    ),
    "basic-motions": Set(
        "BasicMotions_TRAIN.ts.gz", "BasicMotions_TEST.ts.gz",
        MOTION | {"batch_size": 8, "epochs": 200, "validation_share": 0.3}, "DTW 97.5, MLSTM-FCN 95, best 100",
    ),
    "italy-power-demand": Set(
        "ItalyPowerDemand_TRAIN.ts.gz", "ItalyPowerDemand_TEST.ts.gz",
        MOTION | {"batch_size": 8, "epochs": 100, "validation_share": 0.2}, "ResNet 96.3, nearest neighbour 95.5",
    ),
    "splice-junctions": Set(
        "splice.csv.gz", None,
        {"unit": "character", "place_waves": 6, "embedding_size": 16, "embedding_dropout": 0.0, "hidden_size": 64,
         "learning_rate": 5e-3, "epochs": 15},
        "logistic regression 95.6 (10 folds)",
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    for name in arguments.only:
        chosen, folder = SETS[name], arguments.data / name
        for seed in arguments.seeds:
            test = {} if chosen.test is None else {"test": folder / chosen.test}
            classifier = echoic.Classifier(**chosen.options, **test, seed=seed)
            classifier.fit(folder / chosen.train, out=arguments.out / f"{name}-{seed}", overwrite=True)
            numbers = classifier.metrics
            print(f"\n{name}, seed {seed}: {numbers['parameters']:,} weights, {numbers['seconds']:.0f} s; ", end="")
            print(f"validation accuracy {100 * numbers['validation']['accuracy']:.1f} %")
            for row, scores in {"echoic": numbers["test"], **numbers["baselines"]}.items():
                accuracy, macro_f1 = 100 * scores["accuracy"], 100 * scores["macro_f1"]
                print(f"  {row:24s} accuracy {accuracy:5.1f} %   macro F1 {macro_f1:5.1f} %")
        print(f"  published: {chosen.published}", flush=True)


if __name__ == "__main__":
    main()
