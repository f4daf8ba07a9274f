"""Where a window is and how large: each window is brought near 0 and 1 by what was observed of it, nothing else.

All functions take values and ``observed`` [B, L, C] and give a ``Level`` [B, 1, C]; missing values count for nothing,
and a window in which nothing was observed has location 0. A scale is never smaller than a thousandth of the window's
mean absolute value, so that a window that hardly moves does not become noise.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from echoic.models.heads import TINY, Level

FLOOR = 1e-3  # of the mean absolute value


def last_and_unit(values: Tensor, observed: Tensor) -> Level:
    """The last observed value, unit scale: for series that were scaled as a whole before (Lin et al., 2023)."""
    location = last_observed(values, observed)
    return Level(location, torch.ones_like(location))


def last_and_size(values: Tensor, observed: Tensor) -> Level:
    """The last observed value, and the mean absolute value: changes are relative to the size of the series."""
    size = _mean(values.abs(), observed)
    return Level(last_observed(values, observed), size + TINY)


def last_and_deviation(values: Tensor, observed: Tensor) -> Level:
    """The last observed value, and the standard deviation."""
    return Level(last_observed(values, observed), _deviation(values, observed))


def last_and_step(values: Tensor, observed: Tensor) -> Level:
    """The last observed value, and the mean absolute change from step to step: MASE's measure without a season."""
    pairs = observed[:, 1:] & observed[:, :-1]
    step = _mean((values[:, 1:] - values[:, :-1]).abs(), pairs)
    return Level(last_observed(values, observed), step + FLOOR * _mean(values.abs(), observed) + TINY)


def mean_and_deviation(values: Tensor, observed: Tensor) -> Level:
    """Mean and standard deviation."""
    return Level(_mean(values, observed), _deviation(values, observed))


def size_only(values: Tensor, observed: Tensor) -> Level:
    """Location 0 and the mean absolute value: for counts (Salinas et al., 2020)."""
    size = _mean(values.abs(), observed)
    return Level(torch.zeros_like(size), torch.where(size > TINY, size, 1.0))


NORMALISERS: dict[str, Callable[[Tensor, Tensor], Level]] = {
    "last": last_and_unit,
    "last-size": last_and_size,
    "last-step": last_and_step,
    "last-deviation": last_and_deviation,
    "mean-deviation": mean_and_deviation,
    "size": size_only,
}


def guess_normaliser(series: int, season: int) -> str:
    """A single series was scaled as a whole; of several each has windows of its own size, with or without a season."""
    if series == 1:
        return "last"
    return "mean-deviation" if season > 1 else "last-step"


def last_observed(values: Tensor, observed: Tensor) -> Tensor:
    """The last observed value of each series of a window, [B, 1, C]; 0 where there is none."""
    steps = torch.arange(values.shape[1], device=values.device).view(1, -1, 1)
    place = torch.where(observed, steps, -1).amax(dim=1, keepdim=True)
    found = values.gather(1, place.clamp(min=0))
    return torch.where(place >= 0, found, 0.0)


def _mean(values: Tensor, observed: Tensor) -> Tensor:
    count = observed.sum(dim=1, keepdim=True).clamp(min=1)
    return torch.where(observed, values, 0.0).sum(dim=1, keepdim=True) / count


def _deviation(values: Tensor, observed: Tensor) -> Tensor:
    variance = _mean((values - _mean(values, observed)) ** 2, observed)
    return variance.sqrt() + FLOOR * _mean(values.abs(), observed) + TINY
