"""Update rules, torch's own, with weight decay where it belongs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from echoic.training.settings import Training

Groups = list[dict[str, Any]]

OPTIMISERS: dict[str, Callable[[Groups, Training, float], Optimizer]] = {
    "adamw": lambda groups, s, rate: torch.optim.AdamW(groups, lr=rate, betas=(s.momentum, 0.99)),
    "sgd": lambda groups, s, rate: torch.optim.SGD(groups, lr=rate, momentum=s.momentum, nesterov=s.momentum > 0),
    "rmsprop": lambda groups, s, rate: torch.optim.RMSprop(groups, lr=rate, momentum=s.momentum),
    "adagrad": lambda groups, s, rate: torch.optim.Adagrad(groups, lr=rate),
}


def make_optimiser(model: nn.Module, settings: Training, rate: float) -> Optimizer:
    """The update rule of the settings. Vectors (biases, gains, initial states) are not decayed."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return OPTIMISERS[settings.optimiser]([group for group in groups if group["params"]], settings, rate)
