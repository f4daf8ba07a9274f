"""What all forecasters share: scaling of each window, the loss of a head, point forecasts and quantiles.

Legend: B windows, L steps of lookback, H of horizon, C targets, K covariates known in the future, P known in the past
only, S static features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from echoic.data.windows import WindowBatch
from echoic.models.heads import Level, PointLoss, build_head
from echoic.models.normalise import NORMALISERS
from echoic.models.settings import RecurrentSettings
from echoic.training.contract import Loss


class WindowShape(NamedTuple):
    """Sizes of a window."""

    lookback: int
    horizon: int
    targets: int
    known: int = 0
    past: int = 0
    static_sizes: tuple[int, ...] = ()
    static_numbers: int = 0


class ForecasterSettings(RecurrentSettings):
    """Options of a forecaster."""

    model: Literal["segments", "direct", "autoregressive"] = Field(
        default="segments",
        description="segments (SegRNN), direct (one pass to all horizons) or autoregressive (DeepAR)",
    )
    head: Literal["point", "quantiles", "gaussian", "student_t", "negative_binomial"] = Field(
        default="quantiles", description="what is foretold of each value"
    )
    point_loss: PointLoss = Field(default="mae", description="loss of the point head")
    quantiles: tuple[float, ...] = Field(
        default=(0.1, 0.5, 0.9), description="levels of the quantiles that are foretold"
    )
    normalise: Literal["auto", "last", "last-size", "last-step", "last-deviation", "mean-deviation", "size"] = Field(
        default="auto", description="how a window is brought near 0 and 1"
    )
    segment: int | None = Field(default=None, ge=1, le=100_000, description="steps in a segment (none: guessed)")
    linear: bool = Field(default=True, description="segments: add a linear map of the lookback to the forecast")
    samples: int = Field(default=100, ge=2, le=10_000, description="paths drawn by the autoregressive model")

    cell: str = Field(default="GRU", description="a cell of `echoic cells`")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="dropout between layers and before the output")

    @model_validator(mode="after")
    def _fits(self) -> ForecasterSettings:
        if self.bidirectional and self.model != "direct":
            raise ValueError(f"bidirectional needs model direct: {self.model} continues the state into the future")
        if not all(0 < q < 1 for q in self.quantiles):
            raise ValueError(f"quantiles must lie between 0 and 1, found {list(self.quantiles)}")
        return self


class Distribution(NamedTuple):
    """Forecasts of a batch of windows in the unit of the targets.

    point: [B, H, C], the median.
    quantiles: [B, H, C, Q], None where the head gives none.
    """

    point: Tensor
    quantiles: Tensor | None


class Scaled(NamedTuple):
    """A window brought near 0 and 1.

    values: [B, L, C], 0 where missing.
    observed: [B, L, C] as numbers.
    level: where the window was.
    """

    values: Tensor
    observed: Tensor
    level: Level


class StaticFeatures(nn.Module):
    """What does not change over time, as features [B, size]: a sum of embeddings of categories and a map of numbers.

    Args:
        shape: sizes of a window.
        size: features.
    """

    def __init__(self, shape: WindowShape, size: int) -> None:
        super().__init__()
        self.size = size
        self.embeddings = nn.ModuleList(nn.Embedding(codes, size) for codes in shape.static_sizes)
        self.numbers = nn.Linear(shape.static_numbers, size, bias=False) if shape.static_numbers else None

    def forward(self, window: WindowBatch) -> Tensor:
        features = window.past_values.new_zeros(window.past_values.shape[0], self.size)
        for place, embedding in enumerate(self.embeddings):
            features = features + embedding(window.static_codes[:, place])
        return features if self.numbers is None else features + self.numbers(window.static_numbers)


class ForecastModel(nn.Module, ABC):
    """Base of all forecasters.

    Args:
        shape: sizes of a window.
        settings: model, head and sizes.
    """

    def __init__(self, shape: WindowShape, settings: ForecasterSettings) -> None:
        super().__init__()
        self.shape = shape
        self.levels = tuple(sorted(settings.quantiles))
        self.head = build_head(settings.head, self.levels, settings.point_loss)
        self.has_quantiles = settings.head != "point"
        name = settings.normalise if settings.normalise != "auto" else "last"
        self.normaliser = NORMALISERS[name if self.head.centred else "size"]

    def scale(self, values: Tensor, observed: Tensor) -> Scaled:
        """Bring windows [B, L, C] near 0 and 1."""
        filled = torch.where(observed, values, 0.0)
        level = self.normaliser(filled, observed)
        return Scaled(torch.where(observed, level.normalise(filled), 0.0), observed.to(values.dtype), level)

    @abstractmethod
    def outputs(self, window: WindowBatch) -> tuple[Tensor, Level]:
        """Raw outputs of the head for every step ahead, [B, H, C, size], and the windows' levels."""

    @abstractmethod
    def final_step_loss(self, window: WindowBatch) -> Tensor:
        """A loss that depends on the encoder's last output alone."""

    def loss(self, batch: WindowBatch, carry: Any = None) -> Loss:
        """Mean loss over the observed values of the horizon."""
        raw, level = self.outputs(batch)
        return Loss(
            self.head.loss(raw, batch.future_values, batch.future_observed, level), int(batch.future_observed.sum())
        )

    @torch.no_grad()
    def forecast(self, window: WindowBatch, levels: Sequence[float]) -> Distribution:
        """Medians, and quantiles at ``levels`` where the head has them."""
        raw, level = self.outputs(window)
        if not self.has_quantiles:
            return Distribution(self.head.median(raw, level), None)
        quantiles = self.head.quantiles(raw, levels, level)
        point = quantiles[..., list(levels).index(0.5)] if 0.5 in levels else self.head.median(raw, level)
        return Distribution(point, quantiles)
