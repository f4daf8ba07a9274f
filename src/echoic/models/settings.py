"""Options of the recurrent part of a model, the same for every task."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from echoic.cells import cell_named, cell_spellings, registered_cells, similar_cells
from echoic.cells.own import adopt, adopted, is_own

CHOSEN = {"chosen": True}  # context of a validation whose values the user gave: a file named as the cell may be run


class RecurrentSettings(BaseModel):
    """Which cell, how many layers, which regularisation. Tasks subclass it to add and to change defaults."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, protected_namespaces=())

    cell: str = Field(default="LSTM", description="a cell of `echoic cells`, or FILE.py:CLASS, your own")
    cell_options: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description='options of the cell, e.g. {"peephole": true}'
    )
    layers: int = Field(default=1, ge=1, le=64, description="recurrent layers")
    hidden_size: int = Field(default=128, ge=1, le=65536, description="features of the hidden state")
    bidirectional: bool = Field(default=False, description="read each sequence in both directions")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout between layers")
    locked_dropout: bool = Field(
        default=False, description="one dropout mask for all steps of a sequence (variational)"
    )
    weight_drop: float = Field(default=0.0, ge=0, lt=1, description="dropout on the recurrent weights")
    zoneout: float = Field(default=0.0, ge=0, lt=1, description="probability that a unit keeps its previous state")
    residual: bool = Field(default=False, description="add each layer's input to its output where the sizes agree")
    layer_norm: bool = Field(default=False, description="normalise the input of each layer but the first")
    learn_initial_state: bool = Field(default=False, description="learn the state before the first step")
    memory_steps: int | None = Field(
        default=None, ge=3, description="spread the gates' memory over so many steps at the start (LSTM, GRU)"
    )
    backend: str = Field(default="auto", description="native, torch, scan, reference or auto")

    @field_validator("cell", mode="before")
    @classmethod
    def _known_cell(cls, cell: Any, info: ValidationInfo) -> Any:
        """The registered spelling, whatever the case (``--cell lstm`` means LSTM), or the name of an adopted file.

        A file runs if the user named it; in settings that were read from a run it must have been adopted before.
        """
        if isinstance(cell, type):
            return cell.__name__ if cell in registered_cells().values() else adopt(cell)
        if not isinstance(cell, str):
            return cell
        if is_own(cell):
            if info.context == CHOSEN and adopted(cell) is None:
                return adopt(cell)
            cell_named(cell)
            return cell
        spellings = cell_spellings()
        if cell.lower() not in spellings:
            near = similar_cells(cell)
            hint = f" (did you mean {' or '.join(near)}?)" if near else ""
            raise ValueError(f'found "{cell}"{hint}, expected one of {", ".join(registered_cells())}, or FILE.py:CLASS')
        return spellings[cell.lower()]
