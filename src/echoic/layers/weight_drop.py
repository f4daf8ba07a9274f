"""Weight drop: dropout on the recurrent weights."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from echoic.cells import Cell
from echoic.errors import OptionError
from echoic.layers.dropout import check_probability

AnyCell = TypeVar("AnyCell", bound=Cell)


class WeightDrop(nn.Module):
    """The parametrisation of a weight that zeroes elements of it at random in training (DropConnect).

    Args:
        p: probability that an element is zeroed, at least 0 and below 1; the others are scaled by 1/(1 - p).
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        check_probability("weight drop", p)
        self.p = p

    def forward(self, weight: Tensor) -> Tensor:
        return F.dropout(weight, self.p, self.training)


def weight_drop(cell: AnyCell, p: float) -> AnyCell:
    """Drop recurrent weights of a cell, in place, with one mask for a whole batch of sequences (Merity et al., 2018).

    The engine reads a parametrised weight once a run, so every step sees the same mask, and the cell stays what it is:
    fused backends still run it. In evaluation nothing is dropped. It needs memory="store": a replay during the
    backward pass would draw another mask.

    Raises:
        OptionError: ``p`` is no such probability, or the cell has no recurrent weights (``weight_hh``).
    """
    if "weight_hh" not in dict(cell.named_parameters(recurse=False)):
        raise OptionError(f"weight drop: {type(cell).__name__} has no recurrent weights (weight_hh) to drop.")
    parametrize.register_parametrization(cell, "weight_hh", WeightDrop(p))
    return cell
