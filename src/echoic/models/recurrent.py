"""The recurrent stack of every model, from its settings."""

from __future__ import annotations

from torch import nn

from echoic.cells import Cell, build_cell
from echoic.layers import Recurrent
from echoic.layers.chrono import chrono_initialise
from echoic.layers.dropout import LockedDropout
from echoic.layers.weight_drop import weight_drop
from echoic.layers.zoneout import Zoneout
from echoic.models.settings import RecurrentSettings


def build_recurrent(settings: RecurrentSettings, input_size: int) -> Recurrent:
    """A new stack: cells with their options and regularisers, dropout between layers.

    Args:
        settings: which cell, how many, and how regularised.
        input_size: features of the inputs, F.

    Raises:
        OptionError: the cell has no such option, or cannot be combined with a regulariser.
    """
    directions = 2 if settings.bidirectional else 1
    cells: list[Cell] = []
    for _ in range(settings.layers):
        made = [_cell(settings, input_size) for _ in range(directions)]
        input_size = directions * made[0].output_size
        cells += made
    return Recurrent(
        cells,
        bidirectional=settings.bidirectional,
        backend=settings.backend,
        between=_between(settings),
        residual=settings.residual,
        layer_norm=settings.layer_norm,
        learn_initial_state=settings.learn_initial_state,
    )


def _cell(settings: RecurrentSettings, input_size: int) -> Cell:
    cell = build_cell(settings.cell, input_size, settings.hidden_size, **settings.cell_options)
    if settings.memory_steps is not None:
        chrono_initialise(cell, settings.memory_steps)
    if settings.weight_drop:
        weight_drop(cell, settings.weight_drop)
    if settings.zoneout:
        cell = Zoneout(cell, settings.zoneout)
    return cell


def _between(settings: RecurrentSettings) -> nn.Module | None:
    if settings.layers == 1 or not settings.dropout:
        return None
    return LockedDropout(settings.dropout) if settings.locked_dropout else nn.Dropout(settings.dropout)
