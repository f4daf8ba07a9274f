"""Locked (variational) dropout: one mask for all steps of a sequence."""

from __future__ import annotations

from torch import Tensor, nn

from echoic.errors import OptionError


class LockedDropout(nn.Module):
    """Dropout that drops a feature of a sequence at all its steps or at none (Gal and Ghahramani, 2016).

    Dropout drawn anew at each step is noise that a recurrent state averages away or amplifies; one mask for the whole
    sequence is a thinned network. Kept features are scaled by 1/(1 - p); in evaluation nothing is done.

    Args:
        p: probability that a feature is dropped, at least 0 and below 1.

    Raises:
        OptionError: ``p`` is no such probability.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        check_probability("locked dropout", p)
        self.p = p

    def forward(self, inputs: Tensor) -> Tensor:
        """``inputs`` [B, T, F] to the same shape."""
        if not self.training or self.p == 0:
            return inputs
        keep = inputs.new_empty(inputs.shape[0], 1, inputs.shape[2]).bernoulli_(1 - self.p)
        return inputs * (keep / (1 - self.p))

    def extra_repr(self) -> str:
        return f"p={self.p}"


def check_probability(what: str, p: float) -> None:
    """Raise OptionError unless 0 <= p < 1."""
    if not 0 <= p < 1:
        raise OptionError(f"{what}: found a probability of {p}, expected at least 0 and below 1.")
