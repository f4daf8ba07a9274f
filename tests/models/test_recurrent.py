"""Every option of RecurrentSettings does what it says."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from echoic.cells import LSTM, Jordan, registered_cells
from echoic.errors import OptionError
from echoic.layers.dropout import LockedDropout
from echoic.layers.zoneout import Zoneout
from echoic.models.recurrent import build_recurrent
from echoic.models.settings import RecurrentSettings

INPUTS = torch.randn(3, 6, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("cell", registered_cells())
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_shapes_and_a_gradient_for_every_parameter(cell: str, bidirectional: bool, layers: int) -> None:
    torch.manual_seed(0)
    input_size, hidden_size = registered_cells()[cell].nearest_sizes(4, 9)
    settings = RecurrentSettings(cell=cell, hidden_size=hidden_size, layers=layers, bidirectional=bidirectional)
    if layers > 1 and registered_cells()[cell].input_layout:
        with pytest.raises(OptionError, match=r"first layer only|expected"):
            build_recurrent(settings, input_size)
        return
    recurrent = build_recurrent(settings, input_size)
    outputs, state = recurrent(torch.randn(3, 6, input_size))
    assert outputs.shape == (3, 6, hidden_size * (1 + bidirectional)) == (3, 6, recurrent.output_size)
    assert len(state) == layers * (1 + bidirectional)
    assert recurrent.final_hidden(state).shape == (3, hidden_size * (1 + bidirectional))
    outputs.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in recurrent.parameters())


@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.5},
        {"dropout": 0.5, "locked_dropout": True},
        {"dropout": 0.0, "weight_drop": 0.5},
        {"dropout": 0.0, "zoneout": 0.5},
        {
            "dropout": 0.3,
            "locked_dropout": True,
            "weight_drop": 0.3,
            "zoneout": 0.3,
            "residual": True,
            "layer_norm": True,
        },
    ],
    ids=lambda o: "-".join(o),
)
def test_regularisers_act_in_training_only(options: dict[str, float | bool]) -> None:
    torch.manual_seed(0)
    recurrent = build_recurrent(RecurrentSettings(layers=2, hidden_size=7, **options), 4)
    assert not torch.equal(recurrent(INPUTS)[0], recurrent(INPUTS)[0])
    recurrent.eval()
    assert torch.equal(recurrent(INPUTS)[0], recurrent(INPUTS)[0])


def test_each_option_arrives() -> None:
    settings = RecurrentSettings(
        cell="LSTM", cell_options={"peephole": True}, layers=2, hidden_size=7, dropout=0.2, locked_dropout=True,
        zoneout=0.1, residual=True, layer_norm=True, learn_initial_state=True, backend="reference",
    )  # fmt: skip
    recurrent = build_recurrent(settings, 4)
    first = recurrent.cells[0]
    assert isinstance(first, Zoneout)
    assert isinstance(first.cell, LSTM)
    assert first.cell.peephole
    assert isinstance(recurrent.between, LockedDropout)
    assert recurrent.residual
    assert recurrent.norms is not None
    assert recurrent.initial is not None
    assert recurrent.backend == "reference"
    plain = build_recurrent(RecurrentSettings(layers=2, dropout=0.2), 4)
    assert isinstance(plain.between, nn.Dropout)
    assert build_recurrent(RecurrentSettings(layers=1, dropout=0.2), 4).between is None


def test_other_output_size() -> None:
    settings = RecurrentSettings(cell="Jordan", cell_options={"output_size": 5}, layers=2, hidden_size=7)
    recurrent = build_recurrent(settings, 4)
    assert isinstance(recurrent.cells[1], Jordan)
    assert recurrent(INPUTS)[0].shape == (3, 6, 5)


def test_memory_steps_set_the_gates() -> None:
    torch.manual_seed(0)
    cell = build_recurrent(RecurrentSettings(cell="GRU", hidden_size=50, memory_steps=200), 4).cells[0]
    assert cell.bias_ih[50:100].min() >= 0
    assert cell.bias_ih[50:100].max() > 4


def test_the_cells_name_in_any_case() -> None:
    assert RecurrentSettings(cell="gru").cell == "GRU"


def test_unknown_cell_names_the_known() -> None:
    with pytest.raises(ValidationError, match=r'"LTSM" \(did you mean LSTM\?\), expected one of Elman, Jordan, LSTM'):
        RecurrentSettings(cell="LTSM")


def test_unknown_option_names_the_known() -> None:
    with pytest.raises(OptionError, match="peephole"):
        build_recurrent(RecurrentSettings(cell_options={"peepholes": True}), 4)
