"""Options of the recurrent part of a model, the same for every task."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from echoic.cells import registered_cells


class RecurrentSettings(BaseModel):
    """Which cell, how many layers, which regularisation. Tasks subclass it to add and to change defaults."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, protected_namespaces=())

    cell: str = Field(default="LSTM", description="a cell of `echoic cells`")
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
    backend: str = Field(default="auto", description="reference, torch or auto")

    @field_validator("cell")
    @classmethod
    def _known_cell(cls, name: str) -> str:
        """The registered spelling, whatever the case: ``--cell lstm`` means LSTM."""
        spellings = {known.lower(): known for known in registered_cells()}
        if name.lower() not in spellings:
            raise ValueError(f'found "{name}", expected one of {", ".join(registered_cells())}')
        return spellings[name.lower()]
