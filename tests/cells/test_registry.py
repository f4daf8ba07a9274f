"""Cells are found by name, and a typo never picks another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import echoic.cells
from echoic.cells import Cell, build_cell, registered_cells
from echoic.errors import OptionError


def test_every_file_of_the_folder_is_registered() -> None:
    folder = Path(echoic.cells.__file__).parent
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "base", "linear", "own", "trial"}
    assert {cell.__module__.rpartition(".")[2] for cell in registered_cells().values()} == files


@pytest.mark.parametrize("name", registered_cells())
def test_a_cell_says_what_it_is(name: str) -> None:
    kind = registered_cells()[name]
    assert kind.__name__ == name
    assert issubclass(kind, Cell)
    assert "'" in kind.equations
    assert {} in [dict(options) for options in kind.variants]
    assert kind.__doc__
    assert "Args:" in kind.__doc__


def test_build() -> None:
    cell = build_cell("GRU", 3, 5, reset_after=False)
    assert type(cell) is echoic.cells.GRU
    assert (cell.input_size, cell.hidden_size, cell.output_size, cell.reset_after) == (3, 5, 5, False)
    assert build_cell("LSTM", 3, 5, forget_bias=2, projection_size=None).forget_bias == 2


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("LTSM", {}, "Did you mean LSTM"),
        ("gru", {}, r"expected one of Elman, Jordan, LSTM, GRU, .* Did you mean GRU\?"),
        ("GRU", {"peephole": True}, 'no option "peephole"; its options are reset_after'),
        ("LSTM", {"peepholes": True}, "peephole"),
        ("LSTM", {"peephole": "yes"}, "peephole: found 'yes', expected bool"),
        ("LSTM", {"projection_size": 2.0}, r"projection_size: found 2.0, expected int \| None"),
        ("LSTM", {"projection_size": True}, "projection_size: found True"),
        ("Elman", {"nonlinearity": 3}, "nonlinearity: found 3, expected str"),
        ("GRU", {"input_size": 9}, 'no option "input_size"'),
    ],
)
def test_a_typo_is_an_error(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build_cell(name, 3, 5, **options)


@pytest.mark.parametrize("name", registered_cells())
@pytest.mark.parametrize("sizes", [(0, 5), (3, 0), (-1, 5)])
def test_sizes_below_one_are_refused(name: str, sizes: tuple[int, int]) -> None:
    with pytest.raises(OptionError, match=f"{name}.*expected at least 1"):
        build_cell(name, *sizes)
