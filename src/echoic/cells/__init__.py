"""Cells: one file each, one line below each."""

from __future__ import annotations

import inspect
from difflib import get_close_matches
from typing import Any, get_args, get_type_hints

from echoic.cells.base import Cell, observed, observing
from echoic.cells.cfc import CfC, CfCState
from echoic.cells.clockwork import Clockwork, ClockworkState
from echoic.cells.convlstm import ConvLSTM, ConvLSTMState
from echoic.cells.cornn import CoRNN, CoRNNState
from echoic.cells.deltanet import DeltaNet, DeltaNetState
from echoic.cells.elman import Elman, ElmanState
from echoic.cells.graph import GraphGRU, GraphGRUState
from echoic.cells.gru import GRU, GRUState
from echoic.cells.grud import GRUD, GRUDState
from echoic.cells.indrnn import IndRNN, IndRNNState
from echoic.cells.janet import JANET, JANETState
from echoic.cells.jordan import Jordan, JordanState
from echoic.cells.ligru import LiGRU, LiGRUState
from echoic.cells.linear import Decay, LinearCell, Turn
from echoic.cells.lru import LRU, LRUState
from echoic.cells.lstm import LSTM, LSTMState
from echoic.cells.mgu import MGU, MGUState
from echoic.cells.mingru import MinGRU, MinGRUState
from echoic.cells.minlstm import MinLSTM, MinLSTMState
from echoic.cells.mlstm import MLSTM, MLSTMState
from echoic.cells.multiplicative import MultiplicativeLSTM, MultiplicativeLSTMState
from echoic.cells.nested import NestedLSTM, NestedLSTMState
from echoic.cells.own import adopted, is_own
from echoic.cells.selective import SelectiveSSM, SelectiveSSMState
from echoic.cells.slstm import SLSTM, SLSTMState
from echoic.cells.sru import SRU, SRUState
from echoic.cells.timelstm import TimeLSTM, TimeLSTMState
from echoic.errors import CellError, OptionError

REGISTERED: tuple[type[Cell], ...] = (
    Elman,
    Jordan,
    LSTM,
    GRU,
    MinGRU,
    MinLSTM,
    SRU,
    LRU,
    LiGRU,
    IndRNN,
    MGU,
    JANET,
    CoRNN,
    Clockwork,
    MultiplicativeLSTM,
    NestedLSTM,
    TimeLSTM,
    GRUD,
    SLSTM,
    MLSTM,
    DeltaNet,
    SelectiveSSM,
    CfC,
    GraphGRU,
    ConvLSTM,
)

__all__ = [
    "GRU",
    "GRUD",
    "JANET",
    "LRU",
    "LSTM",
    "MGU",
    "MLSTM",
    "SLSTM",
    "SRU",
    "Cell",
    "CfC",
    "CfCState",
    "Clockwork",
    "ClockworkState",
    "CoRNN",
    "CoRNNState",
    "ConvLSTM",
    "ConvLSTMState",
    "Decay",
    "DeltaNet",
    "DeltaNetState",
    "Elman",
    "ElmanState",
    "GRUDState",
    "GRUState",
    "GraphGRU",
    "GraphGRUState",
    "IndRNN",
    "IndRNNState",
    "JANETState",
    "Jordan",
    "JordanState",
    "LRUState",
    "LSTMState",
    "LiGRU",
    "LiGRUState",
    "LinearCell",
    "MGUState",
    "MLSTMState",
    "MinGRU",
    "MinGRUState",
    "MinLSTM",
    "MinLSTMState",
    "MultiplicativeLSTM",
    "MultiplicativeLSTMState",
    "NestedLSTM",
    "NestedLSTMState",
    "SLSTMState",
    "SRUState",
    "SelectiveSSM",
    "SelectiveSSMState",
    "TimeLSTM",
    "TimeLSTMState",
    "Turn",
    "build_cell",
    "cell_named",
    "cell_spellings",
    "observed",
    "observing",
    "registered_cells",
    "similar_cells",
]


def registered_cells() -> dict[str, type[Cell]]:
    """Every cell by its name."""
    return {cell.__name__: cell for cell in REGISTERED}


def cell_spellings() -> dict[str, str]:
    """Every registered name by itself in lower case."""
    return {name.lower(): name for name in registered_cells()}


def similar_cells(name: str) -> list[str]:
    """Up to two registered names that look like one that does not exist, whatever the case, the nearest first."""
    spellings = cell_spellings()
    if name.lower() in spellings:
        return [spellings[name.lower()]]
    return [spellings[near] for near in get_close_matches(name.lower(), spellings, n=2)]


def cell_named(name: str) -> type[Cell]:
    """The class of a registered cell, or of one that ``adopt`` has taken. Runs no file.

    Raises OptionError for a name that does not exist, CellError for a file that is not adopted.
    """
    if is_own(name):
        own = adopted(name)
        if own is None:
            raise CellError(f"cell: {name} is not opened yet: name its file, path/to/file.py:Class.")
        return own
    cells = registered_cells()
    if name not in cells:
        near = similar_cells(name)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise OptionError(f'cell: found "{name}", expected one of {", ".join(cells)}.{hint}')
    return cells[name]


def build_cell(name: str, input_size: int, hidden_size: int, /, **options: Any) -> Cell:
    """A new cell by name. Raises OptionError for a name, an option or a type of value that does not exist."""
    kind = cell_named(name)
    known = list(inspect.signature(kind).parameters)[2:]
    types = get_type_hints(kind.__init__)
    for option, value in options.items():
        if option not in known:
            raise OptionError(
                f'{kind.__name__}: there is no option "{option}"; its options are {", ".join(known) or "none"}.'
            )
        if option in types and not _is_a(value, types[option]):
            expected = getattr(types[option], "__name__", str(types[option]))
            raise OptionError(f"{kind.__name__}, {option}: found {value!r}, expected {expected}.")
    return kind(input_size, hidden_size, **options)


def _is_a(value: Any, kind: Any) -> bool:
    """Whether a value is of a type as annotated: a whole number is a number too, but true and false are none."""
    kinds = get_args(kind) or (kind,)
    return type(value) in kinds or (type(value) is int and float in kinds)
