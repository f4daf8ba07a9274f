"""Random windows for tests of forecast models."""

from __future__ import annotations

import torch

from echoic.data.windows import WindowBatch
from echoic.models.forecaster import ForecasterSettings, WindowShape

SHAPE = WindowShape(lookback=11, horizon=7, targets=3, known=2, past=1, static_sizes=(4,), static_numbers=2)
PLAIN = WindowShape(lookback=11, horizon=7, targets=1)


def settings(**options) -> ForecasterSettings:
    return ForecasterSettings(**{"hidden_size": 9, "dropout": 0.0, "samples": 16, "normalise": "last"} | options)


def window(shape: WindowShape, batch: int = 5, seed: int = 0) -> WindowBatch:
    generator = torch.Generator().manual_seed(seed)

    def noise(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    def seen(*size: int) -> torch.Tensor:
        return torch.rand(*size, generator=generator) < 0.8

    codes = [torch.randint(0, size, (batch, 1), generator=generator) for size in shape.static_sizes]
    return WindowBatch(
        past_values=noise(batch, shape.lookback, shape.targets) * 3 + 10,
        past_observed=seen(batch, shape.lookback, shape.targets),
        future_values=noise(batch, shape.horizon, shape.targets) * 3 + 10,
        future_observed=seen(batch, shape.horizon, shape.targets),
        past_known=noise(batch, shape.lookback, shape.known),
        future_known=noise(batch, shape.horizon, shape.known),
        past_only=noise(batch, shape.lookback, shape.past),
        static_codes=torch.cat(codes, dim=1) if codes else torch.zeros(batch, 0, dtype=torch.int64),
        static_numbers=noise(batch, shape.static_numbers),
        series=torch.arange(batch),
        position=torch.full((batch,), shape.lookback),
    )
