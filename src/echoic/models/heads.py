"""Distributions at the output of a forecaster: loss, point forecasts, quantiles and samples from raw outputs.

Legend: raw outputs are [B, H, C, P] (windows, steps ahead, targets, ``size`` numbers each), targets [B, H, C] in their
own unit, and ``level`` says where and how large each window's series is, [B, 1, C]. A head turns the one into the
other, so that a network always works near 0 and 1.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from scipy import special, stats
from torch import Tensor
from torch.distributions import Gamma, Poisson, StudentT
from torch.nn.functional import huber_loss, softplus

TINY = 1e-6
PointLoss = Literal["mae", "mse", "huber"]


class Level(NamedTuple):
    """Where a window's series is and how large it is, both [B, 1, C]: ``target = location + scale * normalised``."""

    location: Tensor
    scale: Tensor

    def normalise(self, target: Tensor) -> Tensor:
        return (target - self.location) / self.scale

    def restore(self, normalised: Tensor) -> Tensor:
        return self.location + self.scale * normalised


class Head(ABC):
    """What raw outputs mean.

    size: raw outputs for each target value, P.
    centred: whether the location of a window may be subtracted (counts may only be scaled).
    centre: which raw output moves the whole distribution.
    """

    size: int
    centre: int = 0
    centred: bool = True

    def loss(self, raw: Tensor, target: Tensor, observed: Tensor, level: Level) -> Tensor:
        """Mean loss over the observed values; 0 where nothing is observed.

        Missing targets may hold anything, NaN too.
        """
        filled = torch.where(observed, target, level.location.expand_as(target))
        each = self.losses(raw, filled, level)
        return torch.where(observed, each, 0.0).sum() / observed.sum().clamp(min=1)

    @abstractmethod
    def losses(self, raw: Tensor, target: Tensor, level: Level) -> Tensor:
        """Loss of each value, [B, H, C]."""

    @abstractmethod
    def mean(self, raw: Tensor, level: Level) -> Tensor:
        """Expectation [B, H, C]."""

    @abstractmethod
    def quantiles(self, raw: Tensor, levels: Sequence[float], level: Level) -> Tensor:
        """Quantiles [B, H, C, Q] at ``levels``."""

    @abstractmethod
    def sample(self, raw: Tensor, level: Level) -> Tensor:
        """One draw for each value, [B, H, C], from torch's global generator."""

    def median(self, raw: Tensor, level: Level) -> Tensor:
        """Median [B, H, C]."""
        return self.quantiles(raw, (0.5,), level)[..., 0]


class Point(Head):
    """A single number; its error is taken in normalised units. Its quantiles are all that number.

    Args:
        loss: mae, mse or huber (quadratic up to one normalised unit).
    """

    size = 1

    def __init__(self, loss: PointLoss = "mae") -> None:
        self._loss = POINT_LOSSES[loss]

    def losses(self, raw: Tensor, target: Tensor, level: Level) -> Tensor:
        return self._loss(raw[..., 0], level.normalise(target))

    def mean(self, raw: Tensor, level: Level) -> Tensor:
        return level.restore(raw[..., 0])

    def quantiles(self, raw: Tensor, levels: Sequence[float], level: Level) -> Tensor:
        return self.mean(raw, level).unsqueeze(-1).repeat(1, 1, 1, len(levels))

    def sample(self, raw: Tensor, level: Level) -> Tensor:
        return self.mean(raw, level)


POINT_LOSSES = {
    "mae": lambda forecast, target: (forecast - target).abs(),
    "mse": lambda forecast, target: (forecast - target) ** 2,
    "huber": lambda forecast, target: huber_loss(forecast, target, reduction="none"),
}


class Quantiles(Head):
    """Quantiles by pinball loss (Koenker and Bassett, 1978) that cannot cross.

    Each is the one nearer to the median plus or minus a positive step. Between trained levels they are interpolated.

    Args:
        levels: probabilities between 0 and 1; 0.5 is added where it is missing.
    """

    def __init__(self, levels: Sequence[float] = (0.1, 0.5, 0.9)) -> None:
        self.levels = tuple(sorted({*levels, 0.5}))
        self.size = len(self.levels)
        self.centre = self.levels.index(0.5)

    def normalised(self, raw: Tensor) -> Tensor:
        """The trained quantiles in normalised units, ascending, [B, H, C, P]."""
        median = raw[..., self.centre, None]
        below, above = raw[..., : self.centre], raw[..., self.centre + 1 :]
        down = softplus(below).flip(-1).cumsum(-1).flip(-1)
        return torch.cat([median - down, median, median + softplus(above).cumsum(-1)], dim=-1)

    def losses(self, raw: Tensor, target: Tensor, level: Level) -> Tensor:
        error = level.normalise(target).unsqueeze(-1) - self.normalised(raw)
        levels = error.new_tensor(self.levels)
        return (
            torch.maximum(levels * error, (levels - 1) * error).mean(-1) * 2
        )  # twice, so that a median's loss is its MAE

    def mean(self, raw: Tensor, level: Level) -> Tensor:
        return self.median(raw, level)

    def quantiles(self, raw: Tensor, levels: Sequence[float], level: Level) -> Tensor:
        position = torch.tensor([_position(q, self.levels) for q in levels], device=raw.device)
        return self._at(self.normalised(raw), position.expand(*raw.shape[:-1], len(levels)), level)

    def sample(self, raw: Tensor, level: Level) -> Tensor:
        uniform = torch.rand(raw.shape[:-1], device=raw.device)
        trained = torch.tensor(self.levels, device=raw.device)
        upper = torch.searchsorted(trained, uniform).clamp(1, max(1, self.size - 1))
        low, high = trained[upper - 1], trained[upper.clamp(max=self.size - 1)]
        position = (upper - 1 + (uniform - low) / (high - low).clamp(min=TINY)).clamp(0, self.size - 1)
        return self._at(self.normalised(raw), position.unsqueeze(-1), level)[..., 0]

    def _at(self, trained: Tensor, position: Tensor, level: Level) -> Tensor:
        low = position.floor().long().clamp(0, self.size - 1)
        high = (low + 1).clamp(max=self.size - 1)
        weight = position - low
        mixed = (1 - weight) * trained.gather(-1, low) + weight * trained.gather(-1, high)
        return level.location.unsqueeze(-1) + level.scale.unsqueeze(-1) * mixed


def _position(wanted: float, trained: tuple[float, ...]) -> float:
    return float(np.interp(wanted, trained, np.arange(len(trained))))


class Gaussian(Head):
    """Normal distribution."""

    size = 2

    def _parameters(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        return raw[..., 0], softplus(raw[..., 1]) + TINY

    def losses(self, raw: Tensor, target: Tensor, level: Level) -> Tensor:
        centre, spread = self._parameters(raw)
        return 0.5 * ((level.normalise(target) - centre) / spread) ** 2 + spread.log() + 0.5 * math.log(2 * math.pi)

    def mean(self, raw: Tensor, level: Level) -> Tensor:
        return level.restore(raw[..., 0])

    def quantiles(self, raw: Tensor, levels: Sequence[float], level: Level) -> Tensor:
        centre, spread = self._parameters(raw)
        standard = [float(special.ndtri(q)) for q in levels]
        return torch.stack([level.restore(centre + z * spread) for z in standard], dim=-1)

    def sample(self, raw: Tensor, level: Level) -> Tensor:
        centre, spread = self._parameters(raw)
        return level.restore(centre + spread * torch.randn_like(spread))


class StudentTHead(Head):
    """Student's t distribution with more than 2 degrees of freedom: a Gaussian that expects outliers."""

    size = 3

    def _parameters(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return raw[..., 0], softplus(raw[..., 1]) + TINY, 2 + softplus(raw[..., 2])

    def losses(self, raw: Tensor, target: Tensor, level: Level) -> Tensor:
        centre, spread, freedom = self._parameters(raw)
        return -StudentT(freedom, centre, spread, validate_args=False).log_prob(level.normalise(target))

    def mean(self, raw: Tensor, level: Level) -> Tensor:
        return level.restore(raw[..., 0])

    def quantiles(self, raw: Tensor, levels: Sequence[float], level: Level) -> Tensor:
        centre, spread, freedom = self._parameters(raw)
        degrees = freedom.detach().cpu().double().numpy()
        standard = [torch.from_numpy(special.stdtrit(degrees, q)).to(raw) for q in levels]
        return torch.stack([level.restore(centre + t * spread) for t in standard], dim=-1)

    def sample(self, raw: Tensor, level: Level) -> Tensor:
        centre, spread, freedom = self._parameters(raw)
        return level.restore(StudentT(freedom, centre, spread, validate_args=False).sample())


class NegativeBinomial(Head):
    """Counts whose variance exceeds their mean: ``mean + dispersion * mean**2`` (Salinas et al., 2020)."""

    size = 2
    centred = False

    def _parameters(self, raw: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        """Mean, and the number of failures 1 / dispersion."""
        return level.scale * softplus(raw[..., 0]) + TINY, 1 / (softplus(raw[..., 1]) + TINY)

    def losses(self, raw: Tensor, target: Tensor, level: Level) -> Tensor:
        mean, failures = self._parameters(raw, level)
        log_total = (failures + mean).log()
        ways = torch.lgamma(target + failures) - torch.lgamma(failures) - torch.lgamma(target + 1)
        return -(ways + failures * (failures.log() - log_total) + target * (mean.log() - log_total))

    def mean(self, raw: Tensor, level: Level) -> Tensor:
        return self._parameters(raw, level)[0]

    def quantiles(self, raw: Tensor, levels: Sequence[float], level: Level) -> Tensor:
        mean, failures = (p.detach().cpu().double().numpy() for p in self._parameters(raw, level))
        found = [stats.nbinom.ppf(q, failures, failures / (failures + mean)) for q in levels]
        return torch.from_numpy(np.stack(found, axis=-1)).to(raw)

    def sample(self, raw: Tensor, level: Level) -> Tensor:
        mean, failures = self._parameters(raw, level)
        return Poisson(Gamma(failures, failures / mean, validate_args=False).sample(), validate_args=False).sample()


HEADS: dict[str, type[Head]] = {
    "point": Point,
    "quantiles": Quantiles,
    "gaussian": Gaussian,
    "student_t": StudentTHead,
    "negative_binomial": NegativeBinomial,
}


def build_head(name: str, levels: Sequence[float], point_loss: PointLoss) -> Head:
    """The head of that name; the options that are not its own are ignored."""
    own = {"point": lambda: Point(point_loss), "quantiles": lambda: Quantiles(levels)}
    return own.get(name, HEADS[name])()
