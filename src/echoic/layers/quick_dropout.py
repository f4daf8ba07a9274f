"""Dropout whose random numbers are cheap: on processors, drawing them costs torch's more than the layer it follows."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from echoic.layers.dropout import check_probability

LEVELS = 2**16  # sixteen random bits decide about an element: four elements for each number drawn


class QuickDropout(nn.Module):
    """As ``torch.nn.Dropout``, from the same generator but with other masks: p is met to 1/65,536.

    Args:
        p: probability that an element is dropped, at least 0 and below 1; the others are scaled by 1/(1 - p).

    Raises:
        OptionError: ``p`` is no such probability.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        check_probability("dropout", p)
        self.p = p

    def forward(self, inputs: Tensor) -> Tensor:
        """``inputs`` of any shape, to the same."""
        if not self.training or not self.p:
            return inputs
        return inputs * self.mask(inputs) if inputs.is_cpu else functional.dropout(inputs, self.p)

    def mask(self, like: Tensor) -> Tensor:
        """What to multiply with: 0 or 1/(1 - p), of the shape and type of ``like``, a tensor of a processor."""
        dropped = min(round(self.p * LEVELS), LEVELS - 1)
        drawn = torch.empty(-(-like.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        bits = drawn.view(torch.int16)[: like.numel()].view(like.shape)
        return (bits >= dropped - LEVELS // 2).to(like.dtype).mul_(LEVELS / (LEVELS - dropped))

    def extra_repr(self) -> str:
        return f"p={self.p}"
