"""Covariates as numbers: texts become one feature a category, static ones codes; and the scale of each feature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from echoic.data.panel import Panel, Part
from echoic.data.table import Table
from echoic.errors import DataError
from echoic.notices import notice

MAXIMUM_CATEGORIES = 64  # of a text that changes over time: each is a feature of every row
Floats = NDArray[np.float32]


def is_text(table: Table, name: str, categories: dict[str, tuple[str, ...]] | None) -> bool:
    """Whether a covariate holds texts: as in training, or else because its first values are no numbers."""
    if categories is not None:
        return name in categories
    values = table.values(name)
    if values.dtype != pl.String:
        return False
    sample = values.drop_nulls().head(1000)
    return table.read_numbers(sample).null_count() >= 0.5 * len(sample)


def read_covariates(
    table: Table, names: tuple[str, ...], categories: dict[str, tuple[str, ...]] | None
) -> tuple[Floats, tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Covariates that change over time: features [N, K] with NaN where missing, their names, and the categories found.

    Args:
        categories: those of training; a category that was not there then gives zeros, and is said. None: found anew.
    """
    features: list[Floats] = []
    labels: list[str] = []
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        if not is_text(table, name, categories):
            features.append(table.numbers(name).cast(pl.Float32).fill_null(np.nan).to_numpy())
            labels.append(name)
            continue
        codes, found[name] = _codes(table.texts(name), name, table, categories)
        if len(found[name]) > MAXIMUM_CATEGORIES:
            raise DataError(
                table.source,
                f"{len(found[name])} different texts",
                f"numbers, or at most {MAXIMUM_CATEGORIES} categories",
                "Leave the column out, or put rare categories together.",
                column=name,
            )
        features += [(codes == place).astype(np.float32) for place in range(1, len(found[name]) + 1)]
        labels += [f"{name}={category}" for category in found[name]]
    stacked = np.stack(features, axis=1) if features else np.empty((table.height, 0), dtype=np.float32)
    return stacked, tuple(labels), found


def read_static(
    table: Table,
    names: tuple[str, ...],
    members: tuple[NDArray[np.int64], NDArray[np.int64]],
    categories: dict[str, tuple[str, ...]] | None,
) -> tuple[NDArray[np.int64], Floats, dict[str, tuple[str, ...]]]:
    """Static covariates: codes [S, Q] of texts (0: missing, or not seen in training), numbers [S, R], and categories.

    Args:
        members: code of the series of each row [N], and first row of each series [S].

    Raises DataError with the row at which a static column changes within a series.
    """
    series, first = members
    codes: list[NDArray] = []
    numbers: list[Floats] = []
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        if is_text(table, name, categories):
            rows, found[name] = _codes(table.texts(name), name, table, categories)
            codes.append(rows[first])
        else:
            rows = table.numbers(name).cast(pl.Float32).fill_null(0).to_numpy()
            numbers.append(rows[first])
        changed = rows != rows[first][series]
        if changed.any():
            row = int(np.argmax(changed))
            raise table.error(
                row,
                name,
                f'"{table.texts(name)[row]}"',
                f'"{table.texts(name)[int(first[series[row]])]}", as earlier in the series',
                "A static column stays the same within a series; use --known or --past for one that changes.",
            )
    count = len(first)
    return (
        np.stack(codes, axis=1) if codes else np.empty((count, 0), dtype=np.int64),
        np.stack(numbers, axis=1) if numbers else np.empty((count, 0), dtype=np.float32),
        found,
    )


def _codes(
    texts: pl.Series, name: str, table: Table, categories: dict[str, tuple[str, ...]] | None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Codes from 1 by category, 0 for none."""
    known = tuple(texts.drop_nulls().unique().sort()) if categories is None else categories[name]
    codes = texts.replace_strict(list(known), np.arange(1, len(known) + 1), default=0, return_dtype=pl.Int64)
    unseen = codes.eq(0) & texts.is_not_null()
    if unseen.any():
        notice(f'{table.source}: column "{name}" has categories not seen in training, as "{texts.filter(unseen)[0]}".')
    return codes.fill_null(0).to_numpy(), known


class Scale(BaseModel):
    """Mean and deviation of each feature of a group; 0 and 1 for features that need none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @classmethod
    def fit(cls, features: Floats, own: int = 0) -> Scale:
        """Of the rows given [N, K]; the first ``own`` features, and those between -1 and 1, stay as they are."""
        mean, deviation = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
        keep = (np.abs(features).max(axis=0, initial=0) <= 1) | (deviation == 0)
        keep[:own] = True
        return cls(mean=tuple(np.where(keep, 0.0, mean)), deviation=tuple(np.where(keep, 1.0, deviation)))

    def apply(self, features: Floats) -> Floats:
        """Features less their mean, over their deviation."""
        if all(value == 0 for value in self.mean) and all(value == 1 for value in self.deviation):
            return features
        return ((features - np.array(self.mean)) / np.array(self.deviation)).astype(np.float32)


class CovariateScales(BaseModel):
    """Scales of all covariates, fitted on the training part alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    known: Scale
    past: Scale
    static: Scale

    @classmethod
    def fit(cls, part: Part) -> CovariateScales:
        """From the rows that may be targets of a part, and the static numbers of its series."""
        panel = part.panel
        within = np.arange(len(panel.stamps)) - np.repeat(panel.offsets[:-1], panel.lengths)
        rows = (within >= np.repeat(part.begin, panel.lengths)) & (within < np.repeat(part.end, panel.lengths))
        statics = panel.static_numbers[part.lengths > 0]
        return cls(known=_fit_rows(panel.known, rows), past=_fit_rows(panel.past, rows), static=Scale.fit(statics))

    def apply(self, panel: Panel) -> Panel:
        """The panel with scaled covariates."""
        return replace(
            panel, known=self.known.apply(panel.known), past=self.past.apply(panel.past),
            static_numbers=self.static.apply(panel.static_numbers),
        )  # fmt: skip


def _fit_rows(features: Floats, rows: NDArray[np.bool_]) -> Scale:
    return Scale.fit(features[rows]) if features.shape[1] else Scale(mean=(), deviation=())
