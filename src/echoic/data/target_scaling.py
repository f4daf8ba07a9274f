"""Each series scaled by itself: the mean and deviation its targets had in training, kept by the series' name."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from echoic.data.covariates import CovariateScales
from echoic.data.panel import Panel, Part

Array = NDArray[np.float64]


class TargetScales(BaseModel):
    """What is known of each series that was trained on.

    mean, deviation: by the series' name, one number for each target; the deviation is 0 for a constant target.
    seen: by the series' name, the last stamp of training and validation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: dict[str, tuple[float, ...]]
    deviation: dict[str, tuple[float, ...]]
    seen: dict[str, int]

    @classmethod
    def fit(cls, train: Part, seen: NDArray[np.int64]) -> TargetScales:
        """From the rows of a training part; ``seen`` is the number of rows of each series up to validation's end."""
        panel, names = train.panel, series_keys(train.panel)
        mean, deviation = moments(panel, np.where(train.end > 0, train.end, panel.history))
        last = panel.stamps[panel.offsets[:-1] + np.maximum(seen - 1, 0)]
        return cls(
            mean={name: tuple(row) for name, row in zip(names, mean.tolist(), strict=True)},
            deviation={name: tuple(row) for name, row in zip(names, deviation.tolist(), strict=True)},
            seen={name: int(stamp) for name, stamp in zip(names, last, strict=True)},
        )

    def of(self, panel: Panel) -> tuple[Array, Array]:
        """Mean and deviation [S, C] of each series; of its own history for one that was not trained on."""
        names = series_keys(panel)
        own = moments(panel, panel.history) if any(name not in self.mean for name in names) else None
        rows = [
            (self.mean[name], self.deviation[name]) if own is None or name in self.mean else (own[0][s], own[1][s])
            for s, name in enumerate(names)
        ]
        mean, deviation = (np.array(part, dtype=np.float64) for part in zip(*rows, strict=True))
        return mean, deviation

    def unseen(self, panel: Panel) -> NDArray[np.int64]:
        """Row of each series [S] at which what training and validation have not seen begins."""
        begin = np.zeros(len(panel), dtype=np.int64)
        for s, name in enumerate(series_keys(panel)):
            if name in self.seen:
                begin[s] = np.searchsorted(panel.stamps[panel.rows(s)], self.seen[name], side="right")
        return begin


@dataclass(frozen=True)
class ScaledPart:
    """A part as the table has it and as a model sees it.

    raw: targets in their own unit.
    scaled: targets less ``mean``, over ``scale``; covariates scaled.
    mean, scale: [S, C].
    deviation: [S, C], of the targets in training, 0 where constant.
    """

    raw: Part
    scaled: Part
    mean: Array
    scale: Array
    deviation: Array

    def restore(self, values: Array, series: NDArray[np.int64]) -> Array:
        """Scaled values [N, H, C] or [N, H, C, Q] of windows of the series [N] in the targets' own unit."""
        more = (slice(None), None) + (slice(None),) + (None,) * (values.ndim - 3)
        return self.mean[series][more] + self.scale[series][more] * values


def scaled_part(part: Part, targets: TargetScales, covariates: CovariateScales, centred: bool) -> ScaledPart:
    """A part with the view of it that a model gets.

    centred: whether targets are scaled here; counts are not.
    """
    panel = part.panel
    mean, deviation = targets.of(panel)
    scale = np.where(deviation > 0, deviation, 1.0)
    if not centred:
        mean, scale = np.zeros_like(mean), np.ones_like(scale)
    view = covariates.apply(panel)
    if centred:
        lengths = panel.lengths
        values = (panel.values - np.repeat(mean, lengths, axis=0)) / np.repeat(scale, lengths, axis=0)
        view = replace(view, values=values.astype(np.float32))
    return ScaledPart(part, replace(part, panel=view), mean, scale, deviation)


def moments(panel: Panel, rows: NDArray[np.int64]) -> tuple[Array, Array]:
    """Mean and deviation [S, C] over the observed values of the first ``rows`` rows of each series."""
    within = np.arange(len(panel.stamps)) - np.repeat(panel.offsets[:-1], panel.lengths)
    used = panel.observed & (within < np.repeat(rows, panel.lengths))[:, None]
    starts = panel.offsets[:-1]
    count = np.maximum(np.add.reduceat(used, starts, axis=0, dtype=np.int64), 1)
    values = np.where(used, panel.values, 0.0).astype(np.float64)
    mean = np.add.reduceat(values, starts, axis=0) / count
    centred = np.where(used, values - np.repeat(mean, panel.lengths, axis=0), 0.0)
    deviation = np.sqrt(np.add.reduceat(centred**2, starts, axis=0) / count)
    return mean, np.where(deviation > 1e-7 * np.abs(mean), deviation, 0.0)  # what is left of a constant is rounding


def series_keys(panel: Panel) -> list[str]:
    """A name for each series, distinct within the panel."""
    if not panel.ids.width:
        return [""] * len(panel)
    return ["\x1f".join(str(value) for value in row) for row in panel.ids.iter_rows()]
