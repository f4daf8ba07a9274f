"""Cross-entropy of a linear layer with many outputs, without ever holding all scores.

The scores of a batch over a large vocabulary are by far the largest tensor of a training step, and the passes over it
(softmax, logarithm, smoothing, their gradients) cost as much as the matmuls. Here a few rows at a time stay in the
processor's cache from their scores to their gradients.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

IN_CACHE = 2**20  # scores that are worked on at a time
FEWEST = 16  # rows at a time, below which a matmul is slow


class LinearScores(NamedTuple):
    """Scores not yet computed: features [K, A] times weight [V, A] plus bias [V]."""

    features: Tensor
    weight: Tensor
    bias: Tensor

    def computed(self) -> Tensor:
        """[K, V]."""
        return functional.linear(*self)


def cross_entropy(scores: LinearScores | Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean -ln p of targets [K] under the softmax of scores [K, V], nats, smoothed as torch does; a scalar.

    On a processor in full precision the rows are worked on a few at a time; elsewhere torch's own kernels run.
    """
    if isinstance(scores, Tensor):
        return functional.cross_entropy(scores, targets, label_smoothing=label_smoothing)
    if not len(targets) or not scores.features.is_cpu or torch.is_autocast_enabled("cpu"):
        return functional.cross_entropy(scores.computed(), targets, label_smoothing=label_smoothing)
    mean: Any = _FewRowsAtATime.apply(*scores, targets, label_smoothing)
    return mean


class _FewRowsAtATime(torch.autograd.Function):
    """Computes the gradients in the forward pass, where the scores are at hand; backward only scales them."""

    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float
    ) -> Tensor:
        symbols = weight.shape[0]
        wanted = any(ctx.needs_input_grad)
        gradients = [torch.empty_like(features), torch.zeros_like(weight), torch.zeros_like(bias)] if wanted else []
        total = features.new_zeros((), dtype=torch.float64)
        rows = max(FEWEST, IN_CACHE // symbols)
        for start in range(0, len(targets), rows):
            part, wished = features[start : start + rows], targets[start : start + rows].unsqueeze(1)
            logs = torch.addmm(bias, part, weight.t()).log_softmax(dim=1)
            total -= (1 - smoothing) * logs.gather(1, wished).sum(dtype=torch.float64)
            if smoothing:
                total -= smoothing / symbols * logs.sum(dim=1).sum(dtype=torch.float64)
            if wanted:
                excess = logs.exp_().scatter_add_(1, wished, logs.new_full((1, 1), smoothing - 1).expand_as(wished))
                torch.mm(excess, weight, out=gradients[0][start : start + rows])
                gradients[1].addmm_(excess.t(), part)
                gradients[2] += excess.sum(dim=0)
        if wanted and smoothing:  # the same for every symbol, so taken off the sums and not off every score
            share = smoothing / symbols
            gradients[0] -= share * weight.sum(dim=0)
            gradients[1] -= share * features.sum(dim=0)
            gradients[2] -= share * len(targets)
        ctx.count = len(targets)
        ctx.save_for_backward(*gradients)
        return (total / len(targets)).to(features.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        scale = gradient / ctx.count
        return (*(part * scale for part in ctx.saved_tensors), None, None)
