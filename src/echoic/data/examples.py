"""Examples to classify: texts or numeric sequences with their labels, and how they are cut in parts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from echoic.data.wording import counted
from echoic.notices import notice


@dataclass(frozen=True)
class Examples:
    """What is classified.

    source: file the examples came from, or "table" and the like for data in memory.
    items: texts (str), or sequences of numbers, float32 [T, F], NaN where a value is missing.
    labels: the class of each as text, None where there is none.
    rows: where each stands in the source as an editor shows it, the first line being 1.
    table: columns that tell the examples apart, one row each, for the predictions.
    features: names of the numbers of a step, F; empty for texts.
    """

    source: str
    items: list[Any]
    labels: list[str | None]
    rows: list[int]
    table: pl.DataFrame
    features: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.items)

    @property
    def are_texts(self) -> bool:
        """True for texts, False for sequences of numbers."""
        return not self.features

    def take(self, numbers: Sequence[int] | np.ndarray) -> Examples:
        """The examples with these numbers, in this order."""
        numbers = np.asarray(numbers, np.int64)
        items, labels, rows = ([values[i] for i in numbers] for values in (self.items, self.labels, self.rows))
        return Examples(self.source, items, labels, rows, self.table[numbers], self.features)

    def labelled(self) -> Examples:
        """Those that have a label; says how many have none."""
        known = [i for i, label in enumerate(self.labels) if label is not None]
        if len(known) < len(self):
            count = len(self) - len(known)
            first = next(row for row, label in zip(self.rows, self.labels, strict=True) if label is None)
            notice(f"{self.source}: {count:,} examples have no label and were left out (first: row {first}).")
            return self.take(known)
        return self


def stratified_parts(examples: Examples, shares: Sequence[float], seed: int) -> list[Examples]:
    """Cut labelled examples in parts that share no content and have the classes in equal measure.

    Equal items stay together, since a test on what was learnt by heart would say nothing; said where there are some.
    What the shares leave is the first part, and it has at least one example of each class.

    Args:
        shares: share of each further part, 0 to 1; a share of 0 gives an empty part.
        seed: of the choice.

    Returns:
        The parts, the first one in front.
    """
    groups = _groups_of_equal_items(examples)
    if len(groups) < len(examples) and any(shares):
        repeats = counted(len(examples) - len(groups), "repeated example")
        notice(
            f"{examples.source}: {repeats}, put in the same part as the first, so that none is tested that was "
            "trained on."
        )
    random = np.random.default_rng(seed)
    strata: dict[str | None, list[list[int]]] = {}
    for group in groups:
        strata.setdefault(examples.labels[group[0]], []).append(group)
    parts: list[list[int]] = [[] for _ in range(len(shares) + 1)]
    for stratum in strata.values():
        order = [stratum[i] for i in random.permutation(len(stratum))]
        left = len(order)
        for part, share in enumerate(shares, start=1):
            count = min(round(len(stratum) * share), left - 1)
            parts[part] += [row for group in order[left - count : left] for row in group]
            left -= count
        parts[0] += [row for group in order[:left] for row in group]
    return [examples.take(sorted(part)) for part in parts]


def _groups_of_equal_items(examples: Examples) -> list[list[int]]:
    groups: dict[Any, list[int]] = {}
    for number, item in enumerate(examples.items):
        groups.setdefault(item if isinstance(item, str) else _digest(item), []).append(number)
    return list(groups.values())


def _digest(values: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(values).tobytes(), digest_size=16).digest()
