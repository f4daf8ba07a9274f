"""A refusal to trace a step names the line of the cell that asks for what no program has."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from echoic.cells import GRU, Cell
from echoic.engine.lines import files_of
from echoic.engine.trace import TraceRefusal, record
from echoic.layers import Recurrent


class OneState(NamedTuple):
    hidden: Tensor


class Base(Cell):
    """Elman's step with one line more, which a subclass writes."""

    def __init__(self) -> None:
        super().__init__(3, 4)
        self.make_weights(1)
        self.reset_parameters()

    def initial_state(self, batch_size):
        return OneState(self.zeros(batch_size, 4))

    def update(self, projected, state):
        hidden = torch.tanh(projected + self.recurrent(state.hidden))
        hidden = self.more(hidden)
        return hidden, OneState(hidden * 0.5)

    def more(self, hidden: Tensor) -> Tensor:
        return hidden


class Draws(Base):
    def more(self, hidden):
        return hidden + torch.randn_like(hidden)  # random


class Decides(Base):
    def more(self, hidden):
        return -hidden if hidden.sum() > 0 else hidden  # decides


class Sorts(Base):
    def more(self, hidden):
        return torch.sort(hidden, dim=-1).values  # sorts


class MixesRows(Base):
    def more(self, hidden):
        return hidden - hidden.mean(0)  # mixes


@pytest.mark.parametrize(
    ("kind", "reason", "code"),
    [
        (Draws, "aten.randn_like", "# random"),
        (Decides, r"values of a tensor.*torch\.where", "# decides"),
        (Sorts, "aten.sort", "# sorts"),
        (MixesRows, "mixes the rows", "# mixes"),
    ],
)
def test_the_line_is_named(kind, reason, code):
    with open(__file__) as file:
        number = next(i for i, line in enumerate(file, 1) if line.rstrip().endswith(code))
    with pytest.raises(TraceRefusal, match=reason) as refusal:
        record(kind())
    assert f"(line {number} of test_lines.py: " in str(refusal.value)
    assert code in str(refusal.value)
    assert f"line {number} of test_lines.py" in Recurrent(kind()).explain()


def test_a_refusal_leaves_no_mark_behind():
    with pytest.raises(TraceRefusal):
        record(Draws())
    assert record(Base()).fields == ("hidden",)


def test_files_of_inherited_equations():
    class Mine(GRU):
        pass

    names = {path.rpartition("/")[2] for path in files_of(Mine(3, 4))}
    assert names == {"test_lines.py", "gru.py"}


def test_a_cell_typed_in_at_a_prompt_is_recorded():
    typed = type("Typed", (Base,), {"__module__": "__main__"})
    assert record(typed()).fields == ("hidden",)
