"""Labels as text, whatever kind of values they came as."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from echoic.errors import DataError


def label_texts(labels: Sequence[Any] | np.ndarray | pl.Series | None, count: int, source: str) -> list[str | None]:
    """The name of each class: numbers without ".0", missing ones None; all None where there are no labels.

    Raises DataError unless there are ``count`` labels.
    """
    if labels is None:
        return [None] * count
    values = labels.to_list() if isinstance(labels, pl.Series) else np.asarray(labels, object).ravel().tolist()
    if len(values) != count:
        raise DataError(source, f"{len(values)} labels", f"{count}, one for each sequence", "Pass a label for each.")
    return [_text(value) for value in values]


def _text(value: Any) -> str | None:
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip() or None
