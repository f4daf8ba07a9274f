"""How a training went."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Outcome:
    """Plain numbers and words about a finished training.

    stopped_because: a sentence.
    best: validation metrics of the weights the model now holds.
    history: a dict per logged step ("step", "epoch", "loss", "learning_rate", "gradient_norm") or validation ("step",
        "epoch", "validation": {metric: value}).
    loader_share: share of the training time spent waiting for batches.
    padding_share: share of all time steps that were padding.
    clipped_share: share of the updates whose gradient was clipped.
    health: gradient norm per layer over the steps ("steps", "layers": {name: [norm, ...]}, "clipped_share").
    """

    steps: int = 0
    epochs: int = 0
    seconds: float = 0.0
    stopped_because: str = ""
    best_step: int = 0
    best: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    learning_rate: float = 0.0
    loader_share: float = 0.0
    padding_share: float = 0.0
    clipped_share: float = 0.0
    health: dict[str, Any] = field(default_factory=dict)
