"""Gate biases for a memory of known length."""

from __future__ import annotations

import torch
from torch import Tensor

from echoic.cells import GRU, LSTM, Cell


def chrono_initialise(cell: Cell, steps: int) -> bool:
    """Set the gate biases of a cell so that its units remember over 1 to ``steps`` steps (Tallec and Ollivier, 2018).

    A gate of bias b keeps a state over about e^b steps; with b = ln u, u uniform in [1, steps - 1], the units'
    memories are spread over all those lengths. Input gates of an LSTM get -b, so that what is kept is not overwritten.

    Args:
        cell: an LSTM or GRU; other cells are left as they are.
        steps: longest dependency to expect, at least 3.

    Returns:
        Whether the cell has gates that this applies to.
    """
    if not isinstance(cell, LSTM | GRU):
        return False
    keep = torch.log(torch.empty(cell.hidden_size).uniform_(1, steps - 1))
    _set_block(cell, 1, keep)  # f of the LSTM's i f g o, z of the GRU's r z n
    if isinstance(cell, LSTM):
        _set_block(cell, 0, -keep)
    return True


def _set_block(cell: LSTM | GRU, block: int, bias: Tensor) -> None:
    """Make the biases of one gate add up to ``bias``."""
    rows = slice(block * cell.hidden_size, (block + 1) * cell.hidden_size)
    added = [cell.bias_ih, cell.bias_hh]
    if isinstance(cell, LSTM) and cell.layer_norm:  # only what is added behind the normalisation shifts the gate
        added = [cell.norm_ih.bias, cell.norm_hh.bias]
    with torch.no_grad():
        added[0][rows] = bias
        added[1][rows] = 0
