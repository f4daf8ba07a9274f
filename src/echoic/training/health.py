"""Gradient health: the norm per layer over the training, and how often it was clipped."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

POINTS = 400  # beyond so many measurements every second one is dropped and the stride doubled


class Health:
    """Collects gradient norms per layer (the module that owns the parameters), every ``stride`` updates."""

    def __init__(self) -> None:
        self.stride = 1
        self.steps: list[int] = []
        self.layers: dict[str, list[float]] = {}
        self.updates = 0
        self.clipped = 0

    def measure(self, model: nn.Module, step: int) -> None:
        """Note the norms of the gradients as they stand, before clipping, if this step is due."""
        if step % self.stride:
            return
        squares: dict[str, list[torch.Tensor]] = {}
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                squares.setdefault(name.rpartition(".")[0] or name, []).append(parameter.grad.norm() ** 2)
        norms = {name: float(torch.stack(values).sum().sqrt()) for name, values in squares.items()}
        for name in norms:
            if name not in self.layers:
                self.layers[name] = [float("nan")] * len(self.steps)
        for name, values in self.layers.items():  # a layer without a gradient at this step has no norm
            values.append(norms.get(name, float("nan")))
        self.steps.append(step)
        if len(self.steps) > POINTS:
            self.stride *= 2
            keep = [i for i, s in enumerate(self.steps) if s % self.stride == 0]
            self.steps = [self.steps[i] for i in keep]
            self.layers = {name: [values[i] for i in keep] for name, values in self.layers.items()}

    def count(self, clipped: bool) -> None:
        """Note an update."""
        self.updates += 1
        self.clipped += clipped

    @property
    def clipped_share(self) -> float:
        """Share of the updates whose gradient was clipped."""
        return self.clipped / max(1, self.updates)

    def facts(self) -> dict[str, Any]:
        """Everything, as plain JSON."""
        return {
            "stride": self.stride,
            "steps": self.steps,
            "layers": self.layers,
            "updates": self.updates,
            "clipped": self.clipped,
            "clipped_share": self.clipped_share,
        }

    def restore(self, facts: dict[str, Any]) -> None:
        """Undo ``facts``."""
        self.stride, self.steps, self.layers = facts["stride"], facts["steps"], facts["layers"]
        self.updates, self.clipped = facts["updates"], facts["clipped"]
