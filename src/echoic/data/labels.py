"""Class names as numbers."""

from __future__ import annotations

from collections import Counter
from functools import cached_property
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from echoic.data.examples import Examples
from echoic.errors import DataError

MAXIMUM_CLASSES = 65_536
SHOWN = 10
NO_LABEL = -1


class LabelSet(BaseModel):
    """The classes of the training data.

    Attributes:
        names: the n-th is class n; in the order of numbers where all are numbers, of the alphabet otherwise.
        counts: training examples of each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: list[str] = Field(min_length=2, max_length=MAXIMUM_CLASSES)
    counts: list[int]

    @classmethod
    def fit(cls, examples: Examples) -> Self:
        """The classes of labelled examples.

        Raises DataError where there are fewer than two classes, or so many that the column can hold no classes.
        """
        counts = Counter(label for label in examples.labels if label is not None)
        if len(counts) < 2:
            found = f'only the label "{next(iter(counts))}"' if counts else "no labels"
            raise DataError(
                examples.source, found, "at least two classes in the training data",
                "Give examples of each class, or name another column: --label NAME.",
            )  # fmt: skip
        if len(counts) > MAXIMUM_CLASSES or (len(counts) > 1000 and len(counts) > 0.5 * len(examples)):
            raise DataError(
                examples.source, f"{len(counts):,} different labels in {len(examples):,} rows", "classes that repeat",
                "Name the column that holds the class: --label NAME. A number to be foretold is a job for forecast.",
            )  # fmt: skip
        names = sorted(counts, key=_order)
        return cls(names=names, counts=[counts[name] for name in names])

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(set(self.names)) != len(self.names):
            raise ValueError("a class stands twice")
        if len(self.counts) != len(self.names) or min(self.counts) < 0:
            raise ValueError(f"{len(self.names)} classes but the counts {self.counts[:SHOWN]}")
        return self

    @property
    def size(self) -> int:
        """How many classes, C."""
        return len(self.names)

    def encode(self, examples: Examples) -> np.ndarray:
        """The class of each example, int64 [N]; -1 where an example has no label.

        Raises DataError that names the first label never seen in the training data, its row, and the known ones.
        """
        unknown = [i for i, label in enumerate(examples.labels) if label is not None and label not in self._number_of]
        if unknown:
            label, row = examples.labels[unknown[0]], examples.rows[unknown[0]]
            more = "" if len(unknown) == 1 else f" (and {len(unknown) - 1:,} more rows whose labels were never seen)"
            raise DataError(
                examples.source, f'the label "{label}"{more}', f"a label of the training data: {self._shown()}",
                "A class that was never trained on cannot be foretold: add examples of it to the training data and "
                "train again, or correct the label, or remove these rows.",
                row=row,
            )  # fmt: skip
        return np.array([self._number_of.get(label, NO_LABEL) for label in examples.labels], np.int64)

    def balanced_weights(self) -> np.ndarray:
        """[C]: weights that make all classes count alike, N / (C n_c)."""
        counts = np.maximum(np.array(self.counts, float), 1)
        return counts.sum() / (self.size * counts)

    @cached_property
    def _number_of(self) -> dict[str | None, int]:
        return {name: number for number, name in enumerate(self.names)}

    def _shown(self) -> str:
        more = f" and {self.size - SHOWN} more" if self.size > SHOWN else ""
        return ", ".join(f'"{name}"' for name in self.names[:SHOWN]) + more


def _order(name: str) -> tuple[bool, float, str]:
    try:
        value = float(name)
    except ValueError:
        return True, 0.0, name
    return (False, value, name) if value == value else (True, 0.0, name)
