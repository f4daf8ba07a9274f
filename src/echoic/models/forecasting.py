"""The forecast models by name."""

from __future__ import annotations

from echoic.models.autoregressive import Autoregressive
from echoic.models.direct import Direct
from echoic.models.forecaster import ForecasterSettings, ForecastModel, WindowShape
from echoic.models.segments import Segments

FORECAST_MODELS: dict[str, type[ForecastModel]] = {
    "segments": Segments,
    "direct": Direct,
    "autoregressive": Autoregressive,
}


def build_forecaster(shape: WindowShape, settings: ForecasterSettings) -> ForecastModel:
    """A new model for windows of that shape."""
    return FORECAST_MODELS[settings.model](shape, settings)
