"""Sentiment of sentences and reviews, without pretrained vectors: SST-2, Rotten Tomatoes, Chinese hotel reviews.

    python benchmarks/sentiment.py DATA [--only sst2 rt-polarity chnsenticorp-hotel] [--out runs]

DATA is a folder with a folder for each set: sst2 and chnsenticorp-hotel with train, dev and test as .tsv.gz without
header; rt-polarity with rt-polarity.pos.txt.gz and rt-polarity.neg.txt.gz, which are cut 80 / 10 / 10 by the seed,
classes in equal measure, repeated sentences in one part. The best weights are chosen on the validation part. Bag of
words: logistic regression on words and pairs (characters where there are no spaces), trained on the same rows.
"""

from __future__ import annotations

import argparse
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import echoic

WORDS = {"min_count": 2, "hidden_size": 32, "weight_decay": 1.0, "batch_size": 64, "epochs": 5}


class Set(NamedTuple):
    """A data set: what fit takes, the options, published figures (test accuracy in %)."""

    source: Callable[[Path], Any]
    parts: Callable[[Path], dict[str, Path]]
    options: dict[str, Any]
    published: str


def snippets(folder: Path) -> tuple[list[str], list[str]]:
    """Texts and labels of rt-polarity."""
    texts: list[str] = []
    labels: list[str] = []
    for label in ("pos", "neg"):
        with gzip.open(folder / f"rt-polarity.{label}.txt.gz", "rt", encoding="utf-8") as file:
            lines = file.read().splitlines()
        texts += lines
        labels += [label] * len(lines)
    return texts, labels


def parts(folder: Path) -> dict[str, Path]:
    """Files of the validation and test parts."""
    return {"validation": folder / "dev.tsv.gz", "test": folder / "test.tsv.gz"}


SETS = {
    "sst2": Set(
        lambda folder: folder / "train.tsv.gz",
        parts,
        WORDS,
        "naive Bayes with pairs 82.5; LSTM with phrases, vectors 84.9",
    ),
    "rt-polarity": Set(snippets, lambda folder: {}, WORDS, "naive Bayes with pairs 79.0 and CNN-rand 76.1 (10 folds)"),
    "chnsenticorp-hotel": Set(
        lambda folder: folder / "train.tsv.gz",
        parts,
        {"hidden_size": 64, "weight_decay": 0.3, "batch_size": 32, "epochs": 4},
        "naive Bayes on 1 to 3 characters 86.4",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--max-minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    for name in arguments.only:
        chosen, folder = SETS[name], arguments.data / name
        limits = {"max_minutes": arguments.max_minutes, "seed": arguments.seed}
        classifier = echoic.Classifier(**chosen.options, **chosen.parts(folder), **limits)
        classifier.fit(chosen.source(folder), out=arguments.out / name, overwrite=True)
        numbers = classifier.metrics
        print(f"\n{name}: {numbers['parameters']:,} weights, {numbers['seconds']:.0f} s; ", end="")
        print(f"validation accuracy {100 * numbers['validation']['accuracy']:.1f} %")
        for row, scores in {"echoic": numbers["test"], **numbers["baselines"]}.items():
            print(
                f"  {row:24s} accuracy {100 * scores['accuracy']:5.1f} %   macro F1 {100 * scores['macro_f1']:5.1f} %"
            )
        print(f"  published: {chosen.published}", flush=True)


if __name__ == "__main__":
    main()
