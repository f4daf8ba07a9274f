"""The smallest data on which each task can be trained, for tests of what all tasks share.

A new task needs one entry in ``TINY``; the conformance tests fail by name until it is there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

QUICK = ("--epochs", "2", "--hidden-size", "5", "--batch-size", "16", "--layers", "2", "--seed", "3")


class Tiny(NamedTuple):
    """A data set of one task.

    write: makes the training file in a folder and returns it.
    options: command-line options besides ``QUICK``.
    wrong: a data file's content that the task must refuse, and a word its message must hold.
    """

    write: Callable[[Path], Path]
    options: tuple[str, ...]
    wrong: tuple[str, str]


def _sales(folder: Path) -> Path:
    generator = np.random.default_rng(5)
    rows = ["day,shop,units"]
    for shop in ("north", "south", "west"):
        level = generator.uniform(20, 60)
        for day in range(90):
            units = level + 8 * np.sin(2 * np.pi * day / 7) + generator.normal(0, 1.5)
            rows.append(f"{np.datetime64('2024-01-01') + day},{shop},{units:.3f}")
    path = folder / "sales.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def _verses(folder: Path) -> Path:
    generator = np.random.default_rng(6)
    words = ["the", "sea", "a", "wind", "of", "night", "calls", "over", "grey", "stones", "and", "she", "listens"]
    lines = [" ".join(generator.choice(words, size=6)) for _ in range(160)]
    path = folder / "verses.txt"
    path.write_text("\n".join(lines) + "\n")
    return path


def _reviews(folder: Path) -> Path:
    generator = np.random.default_rng(7)
    good, bad = ["lovely", "bright", "kind", "warm"], ["dull", "cold", "rude", "broken"]
    rows = ["review,verdict"]
    for row in range(90):
        positive = row % 2 == 0
        words = generator.choice(good if positive else bad, size=3).tolist()
        words += generator.choice(["the", "room", "was", "a", "staff", "and", "very"], size=4).tolist()
        generator.shuffle(words)
        rows.append(f"{' '.join(words)},{'good' if positive else 'bad'}")
    path = folder / "reviews.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def _entities(folder: Path) -> Path:
    generator = np.random.default_rng(8)
    names, places = ["Ada", "Émile", "Grace", "Linus"], ["York", "Lyon", "Oslo", "北京"]
    rows = []
    for _ in range(90):
        rows += [f"{generator.choice(names)}\tB-PER", f"{generator.choice(names)}son\tI-PER", "went\tO", "to\tO"]
        rows += ["New\tB-LOC", f"{generator.choice(places)}\tI-LOC"] if generator.random() < 0.5 else ["bed\tO"]
        rows += [
            f"{generator.choice(['today', 'again', 'late', '.', '!'])}\tO" for _ in range(generator.integers(1, 5))
        ]
        rows.append("")
    path = folder / "entities.tsv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def _phrases(folder: Path) -> Path:
    generator = np.random.default_rng(9)
    numbers = {"eins": "one", "zwei": "two", "drei": "three", "vier": "four"}
    things = {"katzen": "cats", "hunde": "dogs", "boote": "boats", "berge": "hills", "lampen": "lamps"}
    rows = ["german\tenglish"]
    for number in generator.integers(1, 7, size=130):
        said = [(generator.choice([*numbers]), generator.choice([*things])) for _ in range(number)]
        german = " und ".join(f"{n} {t}" for n, t in said)
        rows.append(f"{german}\t{' and '.join(f'{numbers[n]} {things[t]}' for n, t in said)}")
    path = folder / "phrases.tsv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def _letters(folder: Path) -> Path:
    generator = np.random.default_rng(10)
    fill, matter = ["please", "see", "the", "thanks", "all"], ["budget", "lunch", "gas", "draft", "storm", "price"]
    rows = ["letter,gist"]
    for _ in range(100):
        gist = " ".join(generator.choice(matter, 2, replace=False))
        rows.append(f"{' '.join(generator.choice(fill, generator.integers(2, 9)))} about {gist} .,{gist}")
    path = folder / "letters.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


TINY = {
    "forecast": Tiny(
        _sales,
        ("--horizon", "4", "--lookback", "14"),
        ("day,units\n2024-01-01,3\n2024-01-02,many\n2024-01-03,4\n", "many"),
    ),
    "generate": Tiny(_verses, (), ("", "empty")),
    "classify": Tiny(_reviews, (), ("review,verdict\nfine,good\nnice,good\nlovely,good\n", "good")),
    "tag": Tiny(_entities, (), ("Ada\tB-PER\nwent\tO\n\nto\n", "row 4")),
    "translate": Tiny(
        _phrases,
        ("--source", "german", "--target", "english", "--set", "vocabulary_size=300", "--set", "max_length=12"),
        ("german\tenglish\neins\t\n\ttwo\n", "both sides"),
    ),
    "summarize": Tiny(
        _letters,
        ("--source", "letter", "--target", "gist", "--max-source", "15", "--set", "vocabulary_size=300", "--beam", "2"),
        ("letter,gist\nplease see,\n,lunch\n", "both sides"),
    ),
}
