"""A user's own cell: named by file and class, run only when named, known by its SHA-256, checked before a training."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch

from echoic.cells import GRU, Cell, build_cell, cell_named, own
from echoic.cells.own import adopt, adopted, displayed, is_own, parse_own, reopened
from echoic.errors import CellError, OptionError
from echoic.layers import Recurrent

FADING = '''"""A cell for tests."""

from typing import NamedTuple

import torch
from torch import Tensor

from echoic.cells import Cell


class FadingState(NamedTuple):
    hidden: Tensor


class Fading(Cell):
    """h fades."""

    def __init__(self, input_size: int, hidden_size: int, fade: float = 0.5) -> None:
        super().__init__(input_size, hidden_size)
        self.fade = fade
        self.make_weights(1)
        self.reset_parameters()

    def initial_state(self, batch_size):
        return FadingState(self.zeros(batch_size, self.hidden_size))

    def update(self, projected, state):
        hidden = self.fade * state.hidden + torch.tanh(projected + self.recurrent(state.hidden))
        return hidden, FadingState(hidden)
'''


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """Each test begins as a new process does: with no file adopted."""
    monkeypatch.setattr(own, "_adopted", {})


@pytest.fixture
def fading(tmp_path: Path) -> Path:
    path = tmp_path / "fading.py"
    path.write_text(FADING)
    return path


def test_adopted_is_built_and_runs(fading):
    name = adopt(f"{fading}:Fading")
    sha256 = hashlib.sha256(fading.read_bytes()).hexdigest()
    assert name == f"{fading}:Fading#{sha256}"
    cell = build_cell(name, 3, 5, fade=0.25)
    assert (type(cell).__name__, cell.input_size, cell.hidden_size) == ("Fading", 3, 5)
    inputs = torch.randn(2, 7, 3)
    output, _ = Recurrent(cell, backend="reference")(inputs)
    hidden = torch.zeros(2, 5)
    for t in range(7):
        sums = inputs[:, t] @ cell.weight_ih.T + cell.bias_ih + hidden @ cell.weight_hh.T + cell.bias_hh
        hidden = 0.25 * hidden + torch.tanh(sums)
        torch.testing.assert_close(output[:, t], hidden)
    with pytest.raises(OptionError, match="its options are fade"):
        build_cell(name, 3, 5, fades=0.25)
    with pytest.raises(OptionError, match="expected float"):
        build_cell(name, 3, 5, fade="slowly")


def test_the_same_content_runs_once_wherever_it_lies(fading, tmp_path):
    name = adopt(f"{fading}:Fading")
    elsewhere = tmp_path / "other" / "renamed.py"
    elsewhere.parent.mkdir()
    elsewhere.write_text(FADING)
    assert cell_named(adopt(f"{elsewhere}:Fading")) is cell_named(name)


def test_a_changed_file_is_another_cell(fading):
    first = adopt(f"{fading}:Fading")
    fading.write_text(FADING.replace("0.5", "0.75"))
    second = adopt(f"{fading}:Fading")
    assert first != second
    assert cell_named(first)(3, 5).fade == 0.5
    assert cell_named(second)(3, 5).fade == 0.75


def test_no_compiled_file_is_left_or_believed(fading):
    adopt(f"{fading}:Fading")
    assert [path.name for path in fading.parent.iterdir()] == ["fading.py"]


def test_nothing_runs_unless_adopted(tmp_path):
    path = tmp_path / "trap.py"
    path.write_text(f"import pathlib\npathlib.Path({str(tmp_path / 'sprung')!r}).touch()\n{FADING}")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    recorded = f"{path}:Fading#{sha256}"
    assert adopted(recorded) is None
    with pytest.raises(CellError, match="not opened yet"):
        build_cell(recorded, 3, 5)
    with pytest.raises(CellError, match="holds no code"):
        reopened(recorded, None)
    path.write_text(path.read_text() + "# changed\n")
    with pytest.raises(CellError, match="changed"):
        reopened(recorded, f"{path}:Fading")
    assert not (tmp_path / "sprung").exists()
    adopt(f"{path}:Fading")
    assert (tmp_path / "sprung").exists()


def test_reopening(fading, tmp_path):
    sha256 = hashlib.sha256(fading.read_bytes()).hexdigest()
    recorded = f"where/it/was.py:Fading#{sha256}"
    with pytest.raises(CellError, match=r"--cell where/it/was\.py:Fading\n.*load\(run, cell='where/it/was.py:Fading'"):
        reopened(recorded, None)
    assert reopened(recorded, f"{fading}:Fading") == f"{fading}:Fading#{sha256}"
    assert reopened(recorded, None) == recorded  # adopted in this process: nothing is left to run
    with pytest.raises(CellError, match="found GRU, expected the cell that the model was trained with"):
        reopened(recorded, "GRU")


def test_a_changed_file_is_opened_when_its_content_is_named(fading):
    recorded = adopt(f"{fading}:Fading")
    fading.write_text(FADING.replace("h fades", "h fades away"))
    changed = hashlib.sha256(fading.read_bytes()).hexdigest()
    with pytest.raises(CellError, match=rf"(?s)has been changed.*--cell '{fading}:Fading#{changed[:12]}'"):
        reopened(recorded, f"{fading}:Fading")
    assert reopened(recorded, f"{fading}:Fading#{changed[:12]}") == f"{fading}:Fading#{changed}"
    with pytest.raises(CellError, match=f"found SHA-256 {changed[:12]}.*expected 0123456789ab"):
        adopt(f"{fading}:Fading#0123456789ab")


def test_a_recorded_path_is_safe_to_paste():
    recorded = "$(touch sprung).py:Fading#" + "0" * 64
    with pytest.raises(CellError, match=r"--cell '\$\(touch sprung\)\.py:Fading'"):
        reopened(recorded, None)
    with pytest.raises(CellError, match=r"expected path/to/file\.py:Class"):
        reopened("a\x1b[2Jb.py:Fading", None)


def test_a_class_given_itself(fading):
    name = adopt(cell_named(adopt(f"{fading}:Fading")))
    assert name == f"{fading}:Fading#{hashlib.sha256(fading.read_bytes()).hexdigest()}"

    class Inside(GRU):
        pass

    with pytest.raises(CellError, match=r"not defined at the top of a \.py file"):
        adopt(Inside)
    with pytest.raises(CellError, match="expected a name or a subclass"):
        adopt(int)  # pyright: ignore[reportArgumentType]


def test_names():
    assert parse_own("a b/c:d.py:Kind") == ("a b/c:d.py", "Kind", "")
    assert parse_own("x.py:K#0123456789ab").sha256 == "0123456789ab"
    assert is_own("x.py:K")
    assert not is_own("GRU")
    assert displayed("d/x.py:K#" + "0123456789abcdef" * 4) == "K (d/x.py, SHA-256 0123456789ab)"
    for wrong in ("x.py", "x.py:", "x:K", "x.py:1K", "x.py:K#12", "x.py:K:L", "x.txt:K"):
        with pytest.raises(CellError, match=r"expected path/to/file\.py:Class"):
            parse_own(wrong)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("import torch\nclass Fading(:\n", r"fading\.py, line 2: invalid syntax"),
        ("x = 1\n\ny = 1 / 0\n", r"fading\.py, line 3: the file stops with ZeroDivisionError"),
        ("import no_such_package_here\n", r"line 1: the file stops with ModuleNotFoundError"),
        ("x = 1\n", "found no class Fading, expected a cell. A cell is a subclass"),
        ("class Fading: pass\n", "Fading, which is no cell of this file"),
        ("from echoic.cells import GRU as Fading\n", "which is no cell of this file"),
        (FADING.replace("class Fading(", "class Other("), "The cells in it: Other"),
        (
            FADING.replace("input_size: int, hidden_size", "features: int, hidden_size"),
            "expected input_size and hidden",
        ),
        (FADING.replace("float = 0.5", "float"), "a default for every further argument"),
        (FADING.replace("fade: float", "fade: 'Nothing'"), "types of the arguments.*Nothing"),
        (FADING.replace("NamedTuple)", "list)"), "initial_state gives a FadingState, expected a NamedTuple"),
        (FADING.replace("self.zeros(batch_size, ", "self.zeros(1, "), r"initial_state\(3\)\.hidden is \[1, 6\]"),
        (
            FADING.replace("return hidden, ", "return hidden[:, :2], "),
            r"output \[3, 2\], expected a tensor \[3, 6\]",
        ),
        (FADING.replace("hidden, FadingState(hidden)", "hidden, hidden"), "the state Tensor, expected FadingState"),
        (FADING.replace("FadingState(hidden)", "FadingState(hidden[:1])"), r"the state \[\[1, 6\]\]"),
        (
            FADING.replace("projected + ", "projected.T + "),
            r"line 28: a first step with 3 rows stops",
        ),
        (FADING.replace("make_weights(1)", "make_weight(1)"), "line 21: .*AttributeError"),
    ],
)
def test_what_is_no_cell_is_refused_with_its_place(tmp_path, content, message):
    (tmp_path / "fading.py").write_text(content)
    with pytest.raises(CellError, match=message):
        adopt(f"{tmp_path / 'fading.py'}:Fading")
    assert own._adopted == {}


def test_files_that_cannot_be(tmp_path):
    with pytest.raises(CellError, match="there is no file"):
        adopt(f"{tmp_path / 'none.py'}:Fading")
    (tmp_path / "large.py").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(CellError, match="more than 1048576 bytes"):
        adopt(f"{tmp_path / 'large.py'}:Fading")


def test_the_trial_draws_no_random_numbers_of_the_user(fading):
    torch.manual_seed(5)
    expected = torch.randn(3)
    torch.manual_seed(5)
    adopt(f"{fading}:Fading")
    assert torch.equal(torch.randn(3), expected)


def test_a_registered_cell_is_no_file():
    assert issubclass(cell_named("GRU"), Cell)
    with pytest.raises(OptionError, match="Did you mean GRU"):
        cell_named("GRV")
