"""Sequences of numbers read faster or slower while training: the same course of values in fewer or more steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from echoic.errors import OptionError


class TimeStretch(nn.Module):
    """Resamples each row to a length of its own, by straight lines between its steps.

    A speaker, a hand or a machine is never twice equally fast; with few examples a network takes their speed for a mark
    of the class. In evaluation nothing is done.

    Args:
        most: lengths are multiplied by a factor from 1/(1 + most) to 1 + most, as likely below one as above.

    Raises:
        OptionError: ``most`` is negative or no number.
    """

    def __init__(self, most: float) -> None:
        super().__init__()
        if not 0 <= most < float("inf"):
            raise OptionError(f"time stretch: found {most}, expected a number, at least 0.")
        self.most = most

    def forward(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Stretched rows and their lengths.

        Args:
            inputs: [B, T, F]; what stands past a row's length is never looked at.
            lengths: steps of each row, int64 [B].

        Returns:
            [B, S, F], S being the longest new length, a row's last step repeated past its own; and new lengths [B].
            A row without steps stays one, every other keeps at least one.
        """
        if not self.training or not self.most:
            return inputs, lengths
        turns = 2 * torch.rand(lengths.shape, dtype=torch.float64, device=lengths.device) - 1
        stretched = (lengths * (1 + self.most) ** turns).round().long().clamp(min=1)
        stretched = torch.where(lengths > 0, stretched, 0)
        if not stretched.any():
            return inputs, lengths
        return _resampled(inputs, lengths, stretched), stretched

    def extra_repr(self) -> str:
        return f"most={self.most}"


def _resampled(inputs: Tensor, lengths: Tensor, steps: Tensor) -> Tensor:
    """Rows [B, T, F] of ``lengths`` at ``steps`` places between their ends, [B, max(steps), F]."""
    last = (lengths - 1).clamp(min=0).unsqueeze(1)
    pace = last / (steps - 1).clamp(min=1).unsqueeze(1).double()
    places = torch.arange(int(steps.max()), device=inputs.device) * pace
    below = torch.minimum(places.long(), last)
    above = torch.minimum(below + 1, last)
    share = (places - below).clamp(max=1).unsqueeze(2).to(inputs.dtype)
    return torch.lerp(_steps(inputs, below), _steps(inputs, above), share)


def _steps(inputs: Tensor, places: Tensor) -> Tensor:
    """The steps of ``inputs`` [B, T, F] at whole ``places`` [B, S], as [B, S, F]."""
    return inputs.gather(1, places.unsqueeze(2).expand(-1, -1, inputs.shape[2]))
