"""From the outputs of all steps to one vector for the sequence: last state, mean, maximum, attention.

Every pooling is a module with one call, ``pool(outputs, final, lengths)``:

    outputs: [B, T, F], outputs of a Recurrent.
    final: [B, F], ``layer.final_hidden(state)``: what each direction ends with.
    lengths: [B] whole numbers, or None where all rows are T long.

It returns [B, F]. Steps past a row's length count for nothing, whatever they hold (NaN included); a row of length zero
gives zeros, or its final state.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from echoic.errors import OptionError


class LastState(nn.Module):
    """What each direction ends with. Cheap, and all a causal network can say at the end."""

    def __init__(self, size: int) -> None:
        super().__init__()

    def forward(self, outputs: Tensor, final: Tensor, lengths: Tensor | None = None) -> Tensor:
        return final


class MeanPooling(nn.Module):
    """Mean over the steps of each row."""

    def __init__(self, size: int) -> None:
        super().__init__()

    def forward(self, outputs: Tensor, final: Tensor, lengths: Tensor | None = None) -> Tensor:
        inside = _inside(outputs, lengths)
        steps = inside.sum(dim=1).clamp(min=1).to(outputs.dtype)
        return torch.where(inside, outputs, 0).sum(dim=1) / steps


class MaxPooling(nn.Module):
    """Largest value of each feature over the steps of each row."""

    def __init__(self, size: int) -> None:
        super().__init__()

    def forward(self, outputs: Tensor, final: Tensor, lengths: Tensor | None = None) -> Tensor:
        if outputs.shape[1] == 0:
            return outputs.sum(dim=1)  # zeros: amax has no value for no steps
        inside = _inside(outputs, lengths)
        largest = torch.where(inside, outputs, -torch.inf).amax(dim=1)
        return torch.where(inside.any(dim=1), largest, 0)


class AttentionPooling(nn.Module):
    """Mean over the steps weighted by softmax(v . tanh(W h_t + b)), the self-attention of Yang et al. (2016).

    Args:
        size: features of the outputs, F.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(size, size)
        self.score = nn.Linear(size, 1, bias=False)

    def forward(self, outputs: Tensor, final: Tensor, lengths: Tensor | None = None) -> Tensor:
        weights, clean = self._weighted(outputs, lengths)
        return (weights * clean).sum(dim=1)

    def weights(self, outputs: Tensor, lengths: Tensor | None = None) -> Tensor:
        """[B, T]: how much each step counts; rows add up to one (to zero where the length is zero)."""
        return self._weighted(outputs, lengths)[0].squeeze(2)

    def _weighted(self, outputs: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        inside = _inside(outputs, lengths)
        clean = torch.where(inside, outputs, 0)
        scores = self.score(torch.tanh(self.hidden(clean)))
        # The lowest finite number, not -inf: a row without any step would make the softmax NaN.
        weights = scores.masked_fill(~inside, torch.finfo(scores.dtype).min).softmax(dim=1)
        return torch.where(inside, weights, 0), clean


POOLINGS: dict[str, type[nn.Module]] = {
    "last": LastState,
    "mean": MeanPooling,
    "max": MaxPooling,
    "attention": AttentionPooling,
}


def build_pooling(name: str, size: int) -> nn.Module:
    """The pooling called ``name`` for outputs of ``size`` features; OptionError names the known ones."""
    if name not in POOLINGS:
        raise OptionError(f'pooling: found "{name}", expected one of {", ".join(POOLINGS)}.')
    return POOLINGS[name](size)


def _inside(outputs: Tensor, lengths: Tensor | None) -> Tensor:
    """[B, T, 1]: True at the steps within a row's length."""
    batch_size, steps, _ = outputs.shape
    if lengths is None:
        return torch.ones(batch_size, steps, 1, dtype=torch.bool, device=outputs.device)
    positions = torch.arange(steps, device=outputs.device)
    return (positions < lengths.to(outputs.device).unsqueeze(1)).unsqueeze(2)
