"""A running average of the weights, which is what is validated and kept (Polyak and Juditsky, 1992)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class Averaged:
    """Exponential moving average of a model's weights.

    Args:
        model: whose weights are averaged.
        decay: weight of the past; None keeps no average, and ``used`` is the model as it is.
    """

    def __init__(self, model: nn.Module, decay: float | None) -> None:
        self.model, self.decay, self.updates = model, decay, 0
        self.weights: dict[str, Tensor] = {}
        if decay is not None:
            self.weights = {n: t.detach().clone() for n, t in model.state_dict().items() if t.is_floating_point()}

    @torch.no_grad()
    def update(self) -> None:
        """Take the model's weights in; the first ones count for more, so that the start is forgotten."""
        if self.decay is None:
            return
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        current = self.model.state_dict()
        for name, mean in self.weights.items():
            mean.lerp_(current[name], 1 - decay)

    @contextlib.contextmanager
    def used(self) -> Iterator[None]:
        """Inside the block the model holds the averaged weights."""
        if self.decay is None:
            yield
            return
        own = {name: self.model.state_dict()[name].clone() for name in self.weights}
        self._copy(self.weights)
        try:
            yield
        finally:
            self._copy(own)

    @torch.no_grad()
    def _copy(self, weights: dict[str, Tensor]) -> None:
        held = self.model.state_dict()
        for name, tensor in weights.items():
            held[name].copy_(tensor)
