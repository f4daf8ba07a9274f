"""The loss over a whole part of the data."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from echoic.training.contract import Batches


def device_of(model: nn.Module) -> torch.device:
    """Where a model's weights are."""
    return next(model.parameters()).device


def to_device(batch: Any, device: torch.device) -> Any:
    """The same pytree with its tensors on a device."""
    return pytree.tree_map_only(torch.Tensor, lambda t: t.to(device, non_blocking=True), batch)


def mean_loss(model: nn.Module, batches: Batches) -> float:
    """Mean loss per target over one pass, in evaluation mode, with the state carried from batch to batch."""
    was_training, device = model.training, device_of(model)
    model.eval()
    total, count, carry = 0.0, 0, None
    with torch.no_grad():
        for batch in batches.epoch(0):
            loss = model.loss(to_device(batch, device), carry)  # type: ignore[operator]
            total, count, carry = total + float(loss.mean) * loss.count, count + loss.count, loss.carry
    model.train(was_training)
    return total / max(1, count)
