"""Features of numeric sequences brought to mean 0 and deviation 1, with missing values marked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from echoic.data.examples import Examples
from echoic.errors import DataError
from echoic.notices import notice


class FeatureScaler(BaseModel):
    """What is subtracted from each feature and divided out, learnt from the training part alone.

    Attributes:
        names: features of a step, F.
        mean, scale: [F].
        marked: features that miss values in the training part; each gets a further input that is 1 where it is missing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    names: list[str]
    mean: list[float]
    scale: list[float]
    marked: list[int]

    @classmethod
    def fit(cls, examples: Examples, together: bool = False) -> Self:
        """Mean and deviation over all steps of all sequences; missing values are left out.

        Args:
            together: one mean and deviation for all features, which are of one kind (pixels of a row).

        Says which features miss values and which are constant. Raises DataError where nothing is left to learn from.
        """
        names, source = examples.features, examples.source
        count, total, square = (np.zeros(len(names)) for _ in range(3))
        for values in examples.items:
            known = ~np.isnan(values)
            filled = np.where(known, values, 0).astype(np.float64)
            count, total = count + known.sum(axis=0), total + filled.sum(axis=0)
        mean = total / np.maximum(count, 1)
        for values in examples.items:
            square += np.square(np.where(np.isnan(values), 0, values - mean)).sum(axis=0)
        deviation = np.sqrt(square / np.maximum(count, 1))
        if together:
            mean, deviation = _of_all_together(mean, deviation, count)
        constant = deviation <= 1e-6 * np.maximum(np.abs(mean), 1e-30)
        if not count.any():
            raise DataError(source, "no number at all", "numbers in the features", "Check the columns: --input A,B.")
        if constant.all():
            raise DataError(
                source, "the same value everywhere", "features that vary", "Name other columns: --input A,B."
            )  # fmt: skip
        if constant.any():
            dull = ", ".join(name for name, is_constant in zip(names, constant, strict=True) if is_constant)
            notice(f"{source}: constant in the training part, and of no use: {dull}.")
        steps = sum(len(values) for values in examples.items)
        marked = np.flatnonzero(count < steps).tolist()
        if marked:
            shares = ", ".join(f"{names[i]} ({1 - count[i] / steps:.1%})" for i in marked)
            notice(f"{source}: missing values were set to the mean and marked by a further input: {shares}.")
        scale = np.where(constant, 1.0, deviation)
        return cls(names=names, mean=mean.tolist(), scale=scale.tolist(), marked=marked)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not len(self.names) == len(self.mean) == len(self.scale) or not self.names:
            raise ValueError(f"{len(self.names)} names, {len(self.mean)} means and {len(self.scale)} scales")
        if not np.isfinite(self.mean).all() or not (np.isfinite(self.scale).all() and min(self.scale) > 0):
            raise ValueError("means must be finite and scales finite and above 0")
        if any(not 0 <= i < len(self.names) for i in self.marked):
            raise ValueError(f"marked holds {self.marked}, expected features 0 to {len(self.names) - 1}")
        return self

    @property
    def size(self) -> int:
        """Inputs of a step: the features and the marks of missing values."""
        return len(self.names) + len(self.marked)

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Scaled values with the marks beside, float32 [T, size]; a missing value is 0, the mean."""
        missing = np.isnan(values)
        scaled = (values - np.asarray(self.mean)) / np.asarray(self.scale)
        return np.concatenate([np.where(missing, 0, scaled), missing[:, self.marked]], axis=1).astype(np.float32)

    def check(self, examples: Examples) -> None:
        """Raise DataError where the sequences have other features than those of the training."""
        if len(examples.features) != len(self.names):
            raise DataError(
                examples.source, f"{len(examples.features)} features ({_list(examples.features)})",
                f"{len(self.names)} as in the training data ({_list(self.names)})", "Give the same features.",
            )  # fmt: skip
        unmarked = [i for i in range(len(self.names)) if i not in self.marked]
        if any(np.isnan(values[:, unmarked]).any() for values in examples.items):
            notice(f"{examples.source}: missing values, of which the training data had none, were set to the mean.")


def _of_all_together(mean: np.ndarray, deviation: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation [F] of all features as one, from those of each and how many values each has."""
    share = count / max(1, count.sum())
    overall = (share * mean).sum()
    variance = (share * (deviation**2 + (mean - overall) ** 2)).sum()
    return np.full_like(mean, overall), np.full_like(mean, np.sqrt(variance))


def _list(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
