"""One compilation for all cells of one structure, and another as soon as anything changes that the step depends on."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from tests.tolerances import TOLERANCES, assert_same
from torch import Tensor

from echoic.cells import GRU, LSTM, Cell, Elman
from echoic.engine import unroll
from echoic.engine.compiled import Compiled, compiled, compiled_by_key, effective_tensors


class Held(NamedTuple):
    """hidden: [B, H]."""

    hidden: Tensor


class Adjustable(Cell):
    """Elman's step with something after it, which an attribute says."""

    def __init__(self, attribute: Any) -> None:
        super().__init__(3, 4)
        self.make_weights(1)
        self.attribute = attribute
        self.reset_parameters()

    def initial_state(self, batch_size: int) -> Held:
        return Held(self.zeros(batch_size, 4))

    def update(self, projected: Tensor, state: Held) -> tuple[Tensor, Held]:
        hidden = torch.tanh(projected + self.recurrent(state.hidden))
        if callable(self.attribute):
            hidden = self.attribute(hidden)
        else:
            first = self.attribute[0] if isinstance(self.attribute, tuple | list) else self.attribute
            hidden = hidden * float(first)
        return hidden, Held(hidden)


def as_the_reference(cell: Cell) -> None:
    inputs = torch.randn(2, 5, 3)
    found = [unroll(cell, inputs, options=(backend, "store"))[0].detach() for backend in ("native", "reference")]
    assert_same({"outputs": found[0]}, {"outputs": found[1]}, TOLERANCES[torch.float32])


def test_cells_of_one_structure_share_a_compilation() -> None:
    first, second = LSTM(3, 4), LSTM(3, 4)
    assert compiled(first) is compiled(second)
    assert compiled(first) is compiled(copy.deepcopy(first))
    found = compiled(first)
    assert isinstance(found, Compiled)
    assert compiled_by_key(found.key) is found
    others = [LSTM(3, 5), LSTM(3, 4, peephole=True), LSTM(3, 4, projection_size=2), GRU(3, 4)]
    kinds = [compiled(cell) for cell in others]
    assert len({id(kind) for kind in [found, *kinds]}) == 5


def test_new_numbers_need_no_compilation() -> None:
    cell = LSTM(3, 4)
    before = compiled(cell)
    with torch.no_grad():
        cell.weight_hh.mul_(0.5)
    assert compiled(cell) is before
    as_the_reference(cell)
    cell.weight_hh = torch.nn.Parameter(torch.randn(16, 4))
    assert compiled(cell) is before
    as_the_reference(cell)


@pytest.mark.parametrize(
    ("first", "second"),
    [(0.5, 0.25), ("0.5", "0.25"), ((0.5, 1), (0.25, 1)), (torch.relu, torch.neg), (0.5, (0.25,))],
    ids=["number", "text", "tuple", "function", "kind"],
)
def test_an_option_that_changes_is_followed(first: Any, second: Any) -> None:
    cell = Adjustable(first)
    as_the_reference(cell)
    as_the_reference(cell)
    cell.attribute = second
    as_the_reference(cell)
    cell.attribute = first
    as_the_reference(cell)


@pytest.mark.parametrize("kind", [list, lambda items: {"a": items}, lambda items: [{"a": items}]])
def test_a_list_that_changes_is_followed(kind: Callable[[list[float]], Any]) -> None:
    items = [0.5]
    cell = Adjustable(items)
    cell.also = kind(items)  # type: ignore[assignment]
    as_the_reference(cell)
    items[0] = 0.25
    as_the_reference(cell)


def test_private_options_are_options() -> None:
    class Private(Adjustable):
        """An option with an underscore."""

        def __init__(self, scale: float) -> None:
            super().__init__(torch.neg)
            self._scale = scale

        def update(self, projected: Tensor, state: Held) -> tuple[Tensor, Held]:
            output, new = super().update(projected, state)
            return output * self._scale, new

    cell = Private(0.5)
    as_the_reference(cell)
    as_the_reference(Private(0.25))
    cell._scale = 0.75
    as_the_reference(cell)


def test_training_and_evaluation_are_two() -> None:
    class Scaled(Adjustable):
        """Another step in training."""

        def update(self, projected: Tensor, state: Held) -> tuple[Tensor, Held]:
            output, new = super().update(projected, state)
            return output * (2.0 if self.training else 1.0), new

    cell = Scaled(1.0)
    for mode in (True, False, True):
        as_the_reference(cell.train(mode))


def test_an_option_of_a_part_is_followed() -> None:
    cell = LSTM(3, 4, layer_norm=True)
    as_the_reference(cell)
    norms = [module for module in cell.modules() if hasattr(module, "eps")]
    for norm in norms:
        norm.eps = 0.5
    as_the_reference(cell)
    elman = Elman(3, 4)
    as_the_reference(elman)
    elman.nonlinearity = "relu"
    as_the_reference(elman)


def test_a_cell_that_is_gone_is_not_taken_for_a_new_one() -> None:
    """Two cells can have one address, one after the other."""

    class Opaque:
        """An option that cannot be compared."""

        def __init__(self, factor: float) -> None:
            self.factor = factor

        def __float__(self) -> float:
            return self.factor

    for i in range(6):
        cell = Adjustable(Opaque(0.1 + 0.1 * i))
        as_the_reference(cell)
        del cell
        gc.collect()


def test_parametrised_weights_are_what_multiplies() -> None:
    cell = GRU(3, 4)
    torch.nn.utils.parametrizations.weight_norm(cell, "weight_hh")
    step = compiled(cell)
    assert isinstance(step, Compiled)
    assert "weight_hh" in step.recording.parameters
    position = step.recording.parameters.index("weight_hh")
    assert torch.equal(effective_tensors(cell, step.recording.parameters)[position], cell.weight_hh)
    as_the_reference(cell)


def test_a_refusal_is_remembered_as_a_sentence() -> None:
    cell = Adjustable(torch.erfinv)
    reason = compiled(cell)
    assert isinstance(reason, str)
    assert "erfinv" in reason
    assert compiled(cell) == reason
    cell.attribute = torch.neg
    assert isinstance(compiled(cell), Compiled)
