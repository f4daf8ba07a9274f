"""Plain calls: the same bits as the usual way gives, with and without gradients, whatever happened to the cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.conformance.cases import CASES, Case, make_problem
from tests.tolerances import EXACT, TOLERANCES, assert_same
from torch import Tensor, nn
from torch.nn.utils import parametrize

from echoic.cells import GRU, LSTM, Cell, Elman, ElmanState
from echoic.engine import plain, unroll
from echoic.engine.call import Direction
from echoic.engine.record import record_states
from echoic.errors import BackendError, OptionError
from echoic.layers import Recurrent

NATIVE = ("native", "store")


def both_ways(run: Callable[[], tuple[Tensor, Any]], wanted: list[Tensor]) -> list[dict[str, Tensor]]:
    """Outputs, last state and gradients of a call: without gradients, plainly, and the usual way."""
    found = []
    for recorded, plainly in ((False, True), (True, True), (True, False)):
        with torch.set_grad_enabled(recorded), pytest.MonkeyPatch.context() as patch:
            if not plainly:
                patch.setattr(plain, "run", lambda *_: None)
            outputs, end = run()
        found.append({"outputs": outputs.detach()} | {f"end {i}": part.detach() for i, part in enumerate(end)})
        if recorded:
            loss = sum(((part.sin() * part).sum() for part in (outputs, *end)), torch.zeros(()))
            gradients = torch.autograd.grad(loss, wanted, allow_unused=True)
            found[-1] |= {f"gradient {i}": g for i, g in enumerate(gradients) if g is not None}
    return found


def check_run(run: Callable[[], tuple[Tensor, Any]], wanted: list[Tensor]) -> Tensor:
    """All ways agree to the bit. Gives the outputs."""
    without, plainly, usually = both_ways(run, wanted)
    assert_same(plainly, usually, EXACT)
    assert_same(without, {name: value for name, value in usually.items() if name in without}, EXACT)
    return without["outputs"]


def check(cell: Cell, inputs: Tensor, state: Any = None, *, reverse: bool = False, taken: bool = True) -> Tensor:
    """All ways agree, and the plain one was taken, or not. Gives the outputs."""
    for parameter in cell.parameters():
        parameter.requires_grad_()
    found = plain.run([Direction(cell, state, None, reverse)], inputs, "gates")
    assert (found is not None) is taken
    return check_run(lambda: unroll(cell, inputs, state, reverse=reverse, options=NATIVE), list(cell.parameters()))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_cell(case: Case) -> None:
    given = make_problem(case, 3, 11).to(torch.float32)
    inputs = given.inputs.requires_grad_()
    wanted = [inputs, *(p for p in given.cell.parameters() if p.requires_grad)]
    check_run(lambda: unroll(given.cell, inputs, given.state, options=NATIVE), wanted)


@pytest.mark.parametrize("memory", ["recompute", "checkpoint"])
def test_other_uses_of_memory(memory: str) -> None:
    torch.manual_seed(8)
    cell, inputs = LSTM(3, 5), torch.randn(4, 40, 3)
    check_run(lambda: unroll(cell, inputs, options=("native", memory)), list(cell.parameters()))


def test_gradients_of_gradients() -> None:
    torch.manual_seed(9)
    cell, inputs = GRU(3, 5), torch.randn(2, 6, 3, requires_grad=True)

    def run() -> tuple[Tensor, list[Tensor]]:
        with torch.enable_grad():
            outputs, _ = unroll(cell, inputs, options=NATIVE)
            (gradient,) = torch.autograd.grad(outputs.square().sum(), inputs, create_graph=True)
        return gradient, []

    check_run(run, list(cell.parameters()))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_directions_and_types(reverse: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    cell = LSTM(3, 5).to(dtype)
    state = type(cell.initial_state(1))(*(torch.randn(4, 5, dtype=dtype) for _ in range(2)))
    check(cell, torch.randn(4, 7, 3, dtype=dtype), state, reverse=reverse)
    check(cell, torch.randn(4, 7, 3, dtype=dtype), reverse=reverse)
    check(cell, torch.randn(7, 4, 3, dtype=dtype).transpose(0, 1), reverse=reverse)


def test_parameters_that_change() -> None:
    torch.manual_seed(2)
    cell, inputs = GRU(3, 5), torch.randn(2, 6, 3)
    seen = [check(cell, inputs)]
    with torch.no_grad():
        cell.weight_hh.mul_(2)
    seen.append(check(cell, inputs))
    cell.weight_ih = nn.Parameter(torch.randn(15, 3))
    seen.append(check(cell, inputs))
    cell.weight_hh.data = torch.randn(15, 5)
    seen.append(check(cell, inputs))
    cell.weight_hh.data = torch.randn(5, 15).t()  # no longer contiguous
    seen.append(check(cell, inputs))
    with torch.no_grad():
        cell.weight_hh.mul_(2)
    seen.append(check(cell, inputs))
    cell.double()
    seen.append(check(cell, inputs.double()).float())
    for i, one in enumerate(seen[:-1]):
        assert not any(torch.equal(one, other) for other in seen[i + 1 : -1])


class Free(Cell):
    """Has as many hidden units between its two matrices as these say, and no option for them."""

    def __init__(self, between: int) -> None:
        super().__init__(3, 5)
        self.inner, self.outer = nn.Parameter(torch.randn(5, between)), nn.Parameter(torch.randn(between, 5))
        self.weight = nn.Parameter(torch.randn(3, 5))

    def initial_state(self, batch_size: int) -> ElmanState:
        return ElmanState(self.zeros(batch_size, 5))

    def project(self, inputs: Tensor) -> Tensor:
        return inputs @ self.weight

    def update(self, projected: Tensor, state: ElmanState) -> tuple[Tensor, ElmanState]:
        hidden = torch.tanh(projected + torch.tanh(state.hidden @ self.inner) @ self.outer)
        return hidden, ElmanState(hidden)


def test_parameters_that_change_their_shapes() -> None:
    torch.manual_seed(13)
    cell, inputs = Free(4), torch.randn(2, 6, 3)
    check(cell, inputs)
    cell.inner, cell.outer = nn.Parameter(torch.randn(5, 40)), nn.Parameter(torch.randn(40, 5))
    found = check(cell, inputs, taken=False)
    torch.testing.assert_close(found, unroll(cell, inputs, options=("reference", "store"))[0].detach())
    cell.inner = nn.Parameter(torch.randn(5, 2))  # no longer fits
    with pytest.raises(BackendError, match="must have same reduction dim"):
        unroll(cell, inputs, options=NATIVE)


def test_options_that_change() -> None:
    torch.manual_seed(3)
    cell, inputs = Elman(3, 5), torch.randn(2, 6, 3)
    tanh = check(cell, inputs)
    cell.nonlinearity = "relu"
    relu = check(cell, inputs)
    assert not torch.equal(tanh, relu)
    assert (relu >= 0).all()


def test_modules_in_a_cell_that_change() -> None:
    torch.manual_seed(12)
    cell, inputs = LSTM(3, 5, layer_norm=True), torch.randn(2, 6, 3)
    seen = [check(cell, inputs)]
    names = [name for name, _ in cell.named_children()]
    for name in names:
        norm = getattr(cell, name)
        norm.eps = 0.5
        seen.append(check(cell, inputs))
        norm.weight = nn.Parameter(torch.rand_like(norm.weight))
        seen.append(check(cell, inputs))
        setattr(cell, name, nn.LayerNorm(norm.normalized_shape, eps=2.0))
        seen.append(check(cell, inputs))
    for i, one in enumerate(seen):
        assert not any(torch.equal(one, other) for other in seen[i + 1 :])
    parametrize.register_parametrization(getattr(cell, names[0]), "weight", Doubled())
    assert not torch.equal(check(cell, inputs, taken=False), seen[-1])


def test_a_first_call_in_inference_mode() -> None:
    torch.manual_seed(10)
    cell, inputs = LSTM(3, 5), torch.randn(2, 6, 3)
    with torch.inference_mode():
        unroll(cell, inputs, options=NATIVE)
    check(cell, inputs)  # the state that it begins with can be saved for the backward


class Begun(Elman):
    """Begins with what a buffer holds."""

    def __init__(self) -> None:
        super().__init__(3, 5)
        self.register_buffer("start", torch.zeros(5))

    def initial_state(self, batch_size: int) -> ElmanState:
        return ElmanState(self.start.expand(batch_size, -1).contiguous())


def test_a_state_to_begin_with_that_changes() -> None:
    torch.manual_seed(11)
    cell, inputs = Begun(), torch.randn(2, 6, 3)
    before = check(cell, inputs)
    cell.start.fill_(1)
    assert not torch.equal(check(cell, inputs), before)


class Spread(Begun):
    """The same, in memory as no engine takes it."""

    def initial_state(self, batch_size: int) -> ElmanState:
        return ElmanState(self.start.expand(batch_size, -1))


def test_an_own_state_of_another_form() -> None:
    torch.manual_seed(13)
    cell, inputs = Spread(), torch.randn(2, 6, 3)
    cell.start.normal_()
    check(cell, inputs, taken=False)
    check(cell, inputs[:1])


@pytest.mark.parametrize("wanted", [(), (0,), (1,), (0, 1)])
def test_gradients_of_some_fields_of_the_state(wanted: tuple[int, ...]) -> None:
    torch.manual_seed(14)
    cell, inputs = LSTM(3, 5).double(), torch.randn(4, 6, 3, dtype=torch.float64)
    state = tuple(torch.randn(4, 5, dtype=torch.float64, requires_grad=i in wanted) for i in range(2))
    leaves = [*cell.parameters(), *(state[i] for i in wanted)]
    check_run(lambda: unroll(cell, inputs, state, options=NATIVE), leaves)
    native, reference = (
        torch.autograd.grad(unroll(cell, inputs, state, options=(name, "store"))[0].sin().sum(), leaves)
        for name in ("native", "reference")
    )
    for found, expected in zip(native, reference, strict=True):
        assert_same({"gradient": found}, {"gradient": expected}, TOLERANCES[torch.float64])


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def test_a_cell_that_is_parametrised_later() -> None:
    torch.manual_seed(4)
    cell, inputs = GRU(3, 5), torch.randn(2, 6, 3)
    before = check(cell, inputs)
    parametrize.register_parametrization(cell, "weight_hh", Doubled())
    after = check(cell, inputs, taken=False)
    assert not torch.equal(after, before)


def test_states_of_other_forms() -> None:
    torch.manual_seed(5)
    cell, inputs = LSTM(3, 5), torch.randn(4, 6, 3)
    strided = torch.randn(5, 4).t()
    check(cell, inputs, type(cell.initial_state(1))(strided, torch.randn(4, 5)), taken=False)
    with torch.no_grad():
        _, end = unroll(cell, inputs, (torch.randn(4, 5), torch.randn(4, 5)), options=NATIVE)
        assert type(end) is type(cell.initial_state(1))
        with pytest.raises(OptionError, match="found shapes"):
            unroll(cell, inputs, (torch.randn(3, 5), torch.randn(3, 5)), options=NATIVE)
        with pytest.raises(OptionError, match="found shapes"):
            unroll(cell, inputs, (torch.randn(4, 5),), options=NATIVE)
        with pytest.raises(BackendError, match="another type than the inputs"):
            unroll(cell, inputs.double(), options=NATIVE)


def test_both_directions_of_a_layer_and_a_learnt_state() -> None:
    torch.manual_seed(6)
    layer = Recurrent([LSTM(3, 5), LSTM(3, 5)], bidirectional=True, learn_initial_state=True, backend="native")
    assert layer.initial is not None
    for part in layer.initial:
        nn.init.normal_(part)
    inputs = torch.randn(4, 6, 3)
    check_run(lambda: _flattened(layer(inputs)), list(layer.parameters()))


def _flattened(result: tuple[Tensor, tuple[Any, ...]]) -> tuple[Tensor, list[Tensor]]:
    outputs, states = result
    return outputs, [part for state in states for part in state]


def test_who_looks_on_is_served() -> None:
    torch.manual_seed(7)
    cell, inputs = LSTM(3, 5), torch.randn(2, 6, 3)
    with torch.no_grad():
        expected, _ = unroll(cell, inputs)
        with record_states() as runs:
            unroll(cell, inputs)
        assert len(runs[0].states) == 6
        found = torch.vmap(lambda x: unroll(cell, x, options=NATIVE)[0])(inputs.unsqueeze(0).expand(3, -1, -1, -1))
    torch.testing.assert_close(found[2], expected)


def test_nothing_to_run() -> None:
    cell = LSTM(3, 5)
    with torch.no_grad():
        outputs, _ = unroll(cell, torch.randn(2, 0, 3))
    assert outputs.shape == (2, 0, 5)


@pytest.mark.parametrize("steps_first", [False, True])
def test_outputs_changed_in_place_are_found_out(steps_first: bool) -> None:
    """The backward reads them. They are no views, of which autograd would forbid it at once."""
    layer = Recurrent(GRU(4, 6))
    inputs = torch.randn(5, 3, 4).transpose(0, 1) if steps_first else torch.randn(3, 5, 4)
    with torch.no_grad():
        expected = layer(inputs)[0] * 2
    outputs, _ = layer(inputs)
    outputs *= 2
    assert torch.equal(outputs, expected)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        outputs.sum().backward()
