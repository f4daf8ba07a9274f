"""A stack against its parts put together by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from echoic.cells import GRU, LSTM, Elman, GRUState, Jordan, LSTMState
from echoic.engine import unroll
from echoic.errors import OptionError
from echoic.layers import Recurrent

LENGTHS = torch.tensor([4, 9, 0, 7])


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def gru(*sizes: int) -> GRU:
    return GRU(*sizes).double()


def same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def padded(lengths: Tensor, steps: int) -> Tensor:
    return torch.arange(steps) >= lengths.unsqueeze(1)


@pytest.mark.parametrize("memory", ["store", "recompute", "checkpoint"])
@pytest.mark.parametrize("backend", ["native", "auto", "reference"])
def test_directions_side_by_side_are_each_for_itself(backend: str, memory: str) -> None:
    """Outputs, last states, and gradients of all that goes in, where the directions differ in kind and size."""
    cells = [LSTM(3, 5, projection_size=2).double(), gru(3, 4)]
    layer = Recurrent(cells, bidirectional=True, backend=backend, memory=memory)
    for frozen in (False, True):
        cells[1].requires_grad_(not frozen)
        inputs = draw(4, 9, 3).requires_grad_(not frozen)
        first = (LSTMState(draw(4, 2).requires_grad_(), draw(4, 5)), GRUState(draw(4, 4)))
        leaves = [p for p in [inputs, first[0].hidden, *layer.parameters()] if p.requires_grad]
        for options in ({}, {"lengths": LENGTHS}, {"reset": draw(4, 9) > 1}):
            outputs, last = layer(inputs, first, **options)
            alone = [
                unroll(cell, inputs, state, reverse=bool(way), options=("reference", "store"), **options)
                for way, (cell, state) in enumerate(zip(cells, first, strict=True))
            ]
            same(outputs, torch.cat([part for part, _ in alone], 2))
            ends = [part for _, end in alone for part in end]
            for found, expected in zip([part for end in last for part in end], ends, strict=True):
                same(found, expected)
            weight = draw(*outputs.shape)
            found = torch.autograd.grad((outputs * weight).sum() + last[0].cell.sum(), leaves)
            expected = torch.autograd.grad((torch.cat([a for a, _ in alone], 2) * weight).sum() + ends[1].sum(), leaves)
            for a, b in zip(found, expected, strict=True):
                same(a, b)


def test_layers_of_different_cells_in_both_directions() -> None:
    lower = [LSTM(3, 5).double(), LSTM(3, 5).double()]
    upper = [Jordan(10, 6, output_size=2).double(), Jordan(10, 6, output_size=2).double()]
    layer = Recurrent([*lower, *upper], bidirectional=True)
    inputs = draw(4, 9, 3)
    first = [LSTMState(draw(4, 5), draw(4, 5)) for _ in range(2)] + [type(upper[0].initial_state(1))(draw(4, 2))] * 2
    outputs, last = layer(inputs, tuple(first), lengths=LENGTHS)
    values, expected = inputs, []
    for depth, cells in enumerate((lower, upper)):
        parts = []
        for direction, cell in enumerate(cells):
            start = first[2 * depth + direction]
            part, end = unroll(cell, values, start, lengths=LENGTHS, reverse=direction == 1)
            parts.append(part)
            expected.append(end)
        values = torch.cat(parts, 2)
    same(outputs, values)
    assert len(last) == 4
    for found, end in zip(last, expected, strict=True):
        assert type(found) is type(end)
        for a, b in zip(found, end, strict=True):
            same(a, b)
    assert (layer.input_size, layer.output_size) == (3, 4)
    same(layer.final_hidden(last), torch.cat([expected[2].output, expected[3].output], 1))


def test_final_hidden_is_the_output_at_each_rows_own_end() -> None:
    layer = Recurrent(gru(3, 5), bidirectional=True)
    outputs, state = layer(draw(4, 9, 3), lengths=LENGTHS)
    hidden = layer.final_hidden(state)
    for row, length in enumerate(LENGTHS.tolist()):
        same(hidden[row, :5], outputs[row, length - 1, :5] if length else torch.zeros(5).double())
        same(hidden[row, 5:], outputs[row, 0, 5:] if length else torch.zeros(5).double())


def test_a_single_cell_is_given_a_twin_with_weights_of_its_own() -> None:
    layer = Recurrent(LSTM(3, 5), bidirectional=True)
    forward, backward = (cell.state_dict() for cell in layer.cells)
    assert len(list(layer.parameters())) == 8
    assert not any(torch.equal(forward[name], backward[name]) for name in forward)


def test_residual_layer_norm_and_what_stands_between() -> None:
    class Between(nn.Module):
        def forward(self, values: Tensor) -> Tensor:
            return 3 * values + 1  # does not leave the padding 0

    cells = [gru(5, 5), gru(5, 5), gru(5, 2)]
    layer = Recurrent(cells, residual=True, layer_norm=True, between=Between()).double()
    assert layer.norms is not None
    for norm in layer.norms:
        nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    inputs = draw(4, 9, 5).requires_grad_()
    spoilt = inputs.masked_fill(padded(LENGTHS, 9).unsqueeze(2), float("nan"))
    outputs, _ = layer(spoilt, lengths=LENGTHS)
    one = inputs + unroll(cells[0], inputs)[0]
    two = 3 * one + 1
    two = two + unroll(cells[1], layer.norms[0](two))[0]
    three, _ = unroll(cells[2], layer.norms[1](3 * two + 1))  # from 5 features to 2: no sum
    inside = ~padded(LENGTHS, 9)
    same(outputs[inside], three[inside])
    assert not outputs[~inside].any()
    found, expected = torch.autograd.grad(outputs.sum(), inputs), torch.autograd.grad(three[inside].sum(), inputs)
    same(found[0], expected[0])


def test_residual_sums_are_zero_in_the_padding() -> None:
    layer = Recurrent([gru(5, 5), gru(5, 5)], residual=True, between=nn.Linear(5, 5).double())
    inputs = draw(4, 9, 5)
    expected, _ = layer(inputs, lengths=LENGTHS)
    inputs[padded(LENGTHS, 9)] = float("inf")
    outputs, _ = layer(inputs, lengths=LENGTHS)
    assert not outputs[padded(LENGTHS, 9)].any()
    assert outputs[~padded(LENGTHS, 9)].all()
    same(outputs, expected)


def test_learnt_initial_state_starts_and_restarts() -> None:
    layer = Recurrent([LSTM(3, 5).double(), gru(5, 4)], learn_initial_state=True).double()
    assert layer.initial is not None
    assert [tuple(parameter.shape) for parameter in layer.initial] == [(5,), (5,), (4,)]
    inputs = draw(2, 6, 3)
    zeros, _ = Recurrent(list(layer.cells))(inputs)  # pyright: ignore
    same(layer(inputs)[0], zeros)
    for parameter in layer.initial:
        nn.init.normal_(parameter)
    hidden, cell, upper = (parameter.detach().expand(2, -1) for parameter in layer.initial)
    given = (LSTMState(hidden, cell), GRUState(upper))
    expected, _ = layer(inputs, given)
    same(layer(inputs)[0], expected)
    assert not torch.allclose(expected, zeros)
    reset = torch.zeros(2, 6, dtype=torch.bool)
    reset[:, 4] = True
    outputs, _ = layer(inputs, reset=reset)
    same(outputs[:, 4:], layer(inputs[:, 4:])[0])
    same(outputs[:, :4], layer(inputs[:, :4])[0])
    layer(inputs)[0].square().sum().backward()
    assert all(parameter.grad.abs().min() > 0 for parameter in layer.initial)


def test_chunks_with_the_state_handed_on_are_the_whole() -> None:
    layer = Recurrent([LSTM(3, 5).double(), gru(5, 4)])
    inputs, parts, state = draw(2, 9, 3), [], None
    for chunk in inputs.split([4, 1, 4], dim=1):
        part, state = layer(chunk, state)
        parts.append(part)
    outputs, end = layer(inputs)
    same(torch.cat(parts, 1), outputs)
    assert state is not None
    same(state[0].cell, end[0].cell)


def test_nothing_is_kept_between_calls() -> None:
    layer, inputs = Recurrent([LSTM(3, 5), GRU(5, 4)], bidirectional=False), torch.randn(2, 9, 3)
    before = layer(inputs)[0]
    layer(torch.randn(7, 2, 3), lengths=torch.tensor([1, 0, 2, 2, 2, 1, 1]))
    assert torch.equal(layer(inputs)[0], before)


def test_explain_names_each_layer_and_direction() -> None:
    text = Recurrent([LSTM(3, 5), LSTM(3, 5), Jordan(10, 5), Jordan(10, 5)], bidirectional=True).explain()
    assert [line.split(" on ")[0] for line in text.splitlines()] == [
        "layer 0: LSTM",
        "layer 0, backward: LSTM",
        "layer 1: Jordan",
        "layer 1, backward: Jordan",
    ]
    assert text.count("on native: ") == 4
    assert Recurrent(GRU(3, 5), backend="reference").explain() == "layer 0: GRU on reference, as asked"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Recurrent([]), "found 0"),
        (lambda: Recurrent([GRU(3, 5)], bidirectional=True), "a forward and a backward cell for each layer"),
        (lambda: Recurrent([GRU(3, 5), GRU(4, 5)]), r"layer 1: found input_size \[4\], expected 5"),
        (lambda: Recurrent([GRU(3, 5), GRU(2, 5)], bidirectional=True), r"layer 0: found input_size \[2, 3\]"),
        (
            lambda: Recurrent([GRU(3, 5), GRU(3, 5), GRU(5, 5), GRU(5, 5)], bidirectional=True),
            r"layer 1: found input_size \[5\], expected 10",
        ),
    ],
)
def test_cells_that_do_not_fit_together(make, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make()


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"inputs": torch.zeros(2, 6, 4)}, r"expected \[B, T, 5\]"),
        ({"state": (GRUState(torch.zeros(2, 5)),)}, "found 1 states, expected 2"),
        ({"state": (GRUState(torch.zeros(2, 5)), GRUState(torch.zeros(2, 4)))}, "state of GRU"),
        ({"lengths": torch.tensor([6, 7])}, "found 6 to 7"),
        ({"lengths": torch.tensor([6])}, r"found shape \[1\]"),
        ({"reset": torch.zeros(2, 5)}, r"reset: found shape \[2, 5\]"),
    ],
)
def test_calls_that_do_not_fit(residual: bool, given: dict, message: str) -> None:
    layer = Recurrent([Elman(5, 5), GRU(5, 5)], residual=residual)
    given = {"inputs": torch.zeros(2, 6, 5), **given}
    if "state" in given and len(given["state"]) == 2:
        given["state"] = (layer.cells[0].initial_state(2), given["state"][1])
    with pytest.raises(OptionError, match=message):
        layer(**given)
