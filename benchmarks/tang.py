"""Quatrains of the Tang: perplexity of held-out poems beside n-grams, and how many poems it writes have the right form.

    python benchmarks/tang.py FOLDER --minutes 15      FOLDER: train.tsv.gz, dev.tsv.gz, test.tsv.gz

Each file has a poem in the last column of each row, as 白日依山盡，黃河入海流。欲窮千里目，更上一層樓。
The right form is four lines of equal length, five or seven characters, ended in turn by ，。，。 as in the training.
"""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

import echoic

FORM = re.compile(r"[^，。]{5}，[^，。]{5}。[^，。]{5}，[^，。]{5}。|[^，。]{7}，[^，。]{7}。[^，。]{7}，[^，。]{7}。")
COLUMN = "column_4"
OPTIONS = {"hidden_size": 384, "dropout": 0.4, "embedding_dropout": 0.3, "learning_rate": 6e-3, "epochs": 25}


def right_form(poems: list[str]) -> float:
    """Share of the poems that have the form."""
    return sum(FORM.fullmatch(poem) is not None for poem in poems) / len(poems)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--poems", type=int, default=300, help="poems to write at each temperature")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="run directory to write")
    arguments = parser.parse_args()
    held_out = {"validation": arguments.data / "dev.tsv.gz", "test": arguments.data / "test.tsv.gz"}
    started = time.monotonic()
    model = echoic.Generator(
        text=COLUMN, max_minutes=arguments.minutes, seed=arguments.seed, continuation=60, **held_out, **OPTIONS
    )
    model.fit(arguments.data / "train.tsv.gz", out=arguments.out)
    minutes = (time.monotonic() - started) / 60
    for name, metrics in {"model": model.metrics["test"], **model.metrics["baselines"]}.items():
        print(
            f"{name:10} perplexity {metrics['perplexity']:.2f}  {metrics['bits_per_character']:.4f} bits per character"
        )
    print(f"{minutes:.1f} minutes, {model.metrics['parameters']:,} parameters, options {OPTIONS}")
    for temperature in (0.7, 1.0):
        poems = [model.generate(length=60, temperature=temperature, seed=seed) for seed in range(arguments.poems)]
        print(f"temperature {temperature}: {100 * right_form(poems):.1f} % of {len(poems)} poems have the right form")
        print("\n".join(poems[:5]))
    lines = [model.generate("春", length=60, temperature=0.8, seed=seed) for seed in range(3)]
    print("after 春:", *lines, sep="\n")


if __name__ == "__main__":
    main()
