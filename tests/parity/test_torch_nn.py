"""echoic.nn against torch.nn: the same seed, state_dict, outputs, final states and gradients, for every option."""

from __future__ import annotations

import copy
import itertools
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

import echoic.nn
from echoic.errors import OptionError

# torch says so of its own layer too
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

INPUT, HIDDEN, TIME, BATCH = 3, 7, 9, 5
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "RNN-tanh": ("RNN", {}),
    "RNN-relu": ("RNN", {"nonlinearity": "relu"}),
    "LSTM": ("LSTM", {}),
    "LSTM-projection": ("LSTM", {"proj_size": 4}),
    "GRU": ("GRU", {}),
}
SHAPES = [
    {"num_layers": layers, "bidirectional": bidirectional, "bias": bias, "batch_first": batch_first}
    for layers, bidirectional, bias, batch_first in itertools.product(
        (1, 3), (False, True), (True, False), (False, True)
    )
]


def pair(kind: str, **options: Any) -> tuple[Any, Any]:
    """torch's and ours from the same seed, float64."""
    name, extra = KINDS[kind]
    made = []
    for module in (nn, echoic.nn):
        torch.manual_seed(11)
        made.append(getattr(module, name)(INPUT, HIDDEN, dtype=torch.float64, **extra, **options))
    return made[0], made[1]


def random_state(layer: Any, batch: int | None) -> Any:
    directions = layer.num_layers * (1 + layer.bidirectional)
    middle = () if batch is None else (batch,)
    hidden = torch.randn(directions, *middle, layer.proj_size or HIDDEN, dtype=torch.float64)
    if layer.mode != "LSTM":
        return hidden
    return hidden, torch.randn(directions, *middle, HIDDEN, dtype=torch.float64)


def tensors(value: Any) -> list[Tensor]:
    if isinstance(value, PackedSequence):
        return [value.data]
    return [value] if isinstance(value, Tensor) else [t for part in value for t in tensors(part)]


def assert_same(theirs: Any, ours: Any, inputs: Any, state: Any = None) -> None:
    """Outputs, states and the gradients of parameters, inputs and first state, under random weights on all outputs."""
    results = []
    for layer in (theirs, ours):
        leaves = [
            t.detach().clone().requires_grad_() for t in tensors(inputs) + ([] if state is None else tensors(state))
        ]
        given = PackedSequence(leaves[0], *inputs[1:]) if isinstance(inputs, PackedSequence) else leaves[0]
        start = None if state is None else leaves[1] if len(leaves) == 2 else tuple(leaves[1:])
        output, end = layer(given, start)
        generator = torch.Generator().manual_seed(5)
        loss = sum((t * torch.randn(t.shape, generator=generator, dtype=t.dtype)).sum() for t in tensors([output, end]))
        grads = torch.autograd.grad(loss, [*leaves, *layer.parameters()])
        results.append((output, end, grads))
    (output, end, grads), (our_output, our_end, our_grads) = results
    assert type(our_output) is type(output)
    assert type(our_end) is type(end)
    if isinstance(output, PackedSequence):
        assert torch.equal(output.batch_sizes, our_output.batch_sizes)
        for theirs_index, our_index in zip(output[2:], our_output[2:], strict=True):
            assert (theirs_index is None) == (our_index is None)
            assert theirs_index is None or torch.equal(theirs_index, our_index)
    for expected, found in zip(
        tensors([output, end]) + list(grads), tensors([our_output, our_end]) + list(our_grads), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", SHAPES, ids=lambda o: "-".join(str(int(v)) for v in o.values()))
def test_same_seed_same_everything(kind: str, options: dict[str, Any]) -> None:
    theirs, ours = pair(kind, **options)
    assert list(theirs.state_dict()) == list(ours.state_dict())
    for name, value in theirs.state_dict().items():
        assert torch.equal(value, ours.state_dict()[name]), name
    shape = (BATCH, TIME, INPUT) if options["batch_first"] else (TIME, BATCH, INPUT)
    inputs = torch.randn(shape, dtype=torch.float64)
    assert_same(theirs, ours, inputs)
    assert_same(theirs, ours, inputs, random_state(theirs, BATCH))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_first", [False, True])
def test_unbatched(kind: str, batch_first: bool) -> None:
    theirs, ours = pair(kind, num_layers=2, bidirectional=True, batch_first=batch_first)
    inputs = torch.randn(TIME, INPUT, dtype=torch.float64)
    assert_same(theirs, ours, inputs)
    assert_same(theirs, ours, inputs, random_state(theirs, None))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lengths", [[9, 7, 7, 2, 1], [2, 9, 1, 7, 7]], ids=["sorted", "unsorted"])
@pytest.mark.parametrize("batch_first", [False, True])
def test_packed(kind: str, lengths: list[int], batch_first: bool) -> None:
    theirs, ours = pair(kind, num_layers=2, bidirectional=True, batch_first=batch_first)
    padded = torch.randn(BATCH, TIME, INPUT, dtype=torch.float64)
    packed = pack_padded_sequence(padded, torch.tensor(lengths), batch_first=True, enforce_sorted=lengths[0] == 9)
    assert (packed.sorted_indices is None) == (lengths[0] == 9)
    assert_same(theirs, ours, packed)
    assert_same(theirs, ours, packed, random_state(theirs, BATCH))


def test_packed_from_a_list() -> None:
    theirs, ours = pair("LSTM")
    rows = [torch.randn(steps, INPUT, dtype=torch.float64) for steps in (3, 1, 6)]
    assert_same(theirs, ours, pack_sequence(rows, enforce_sorted=False))


@pytest.mark.parametrize("kind", ["RNN-tanh", "LSTM", "GRU"])
def test_weights_travel_both_ways(kind: str) -> None:
    theirs, _ = pair(kind, num_layers=2, bidirectional=True)
    torch.manual_seed(99)
    ours = getattr(echoic.nn, KINDS[kind][0])(INPUT, HIDDEN, num_layers=2, bidirectional=True, dtype=torch.float64)
    inputs = torch.randn(TIME, BATCH, INPUT, dtype=torch.float64)
    assert not torch.allclose(ours(inputs)[0], theirs(inputs)[0])
    ours.load_state_dict(theirs.state_dict())
    assert_same(theirs, ours, inputs)
    theirs.load_state_dict(ours.state_dict())
    ours.load_state_dict({name: 2 * value for name, value in theirs.state_dict().items()}, assign=True)
    theirs.load_state_dict(ours.state_dict())
    assert_same(theirs, ours, inputs)


@pytest.mark.parametrize("kind", KINDS)
def test_copy_pickle_and_conversion_of_type(kind: str) -> None:
    theirs, ours = pair(kind, num_layers=2)
    inputs = torch.randn(TIME, BATCH, INPUT, dtype=torch.float64)
    ours(inputs)
    for other in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert_same(theirs, other, inputs)
        other.weight_hh_l1.data.zero_()  # its own weights
        assert not torch.allclose(other(inputs)[0], ours(inputs)[0])
    assert_same(theirs, ours, inputs)
    assert ours.float()(inputs.float())[0].dtype == torch.float32


def test_dropout_acts_between_layers_in_training_only() -> None:
    theirs, ours = pair("LSTM", num_layers=2, dropout=0.5)
    inputs = torch.randn(TIME, BATCH, INPUT, dtype=torch.float64)
    assert not torch.equal(ours(inputs)[0], ours(inputs)[0])
    theirs.eval(), ours.eval()
    assert_same(theirs, ours, inputs)
    first, ours_first = pair("LSTM", num_layers=2, dropout=1.0)  # nothing passes to the second layer
    torch.testing.assert_close(ours_first(inputs)[0], first(inputs)[0])


def test_it_learns_through_an_optimiser() -> None:
    """An optimiser step on ours is the same step on torch's."""
    theirs, ours = pair("GRU", num_layers=2)
    inputs = torch.randn(TIME, BATCH, INPUT, dtype=torch.float64)
    for layer in (theirs, ours):
        optimiser = torch.optim.SGD(layer.parameters(), lr=0.1)
        for _ in range(3):
            optimiser.zero_grad()
            layer(inputs)[0].square().mean().backward()
            optimiser.step()
    assert_same(theirs, ours, inputs)
    assert not torch.equal(ours.weight_hh_l0, pair("GRU", num_layers=2)[1].weight_hh_l0)


def test_attributes_strangers_use() -> None:
    theirs, ours = pair("LSTM", num_layers=2, bidirectional=True, proj_size=3)
    ours.flatten_parameters()
    assert repr(theirs) == repr(ours)
    for their_weights, our_weights in zip(theirs.all_weights, ours.all_weights, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(their_weights, our_weights, strict=True))
    names = "mode input_size hidden_size num_layers bias batch_first dropout bidirectional proj_size"
    for name in names.split():
        assert getattr(theirs, name) == getattr(ours, name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 0}, "hidden_size"),
        ({"hidden_size": 4, "num_layers": 0}, "num_layers"),
        ({"hidden_size": 4, "proj_size": 4}, "proj_size"),
        ({"hidden_size": 4, "dropout": 1.5}, "dropout"),
    ],
)
def test_refused_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        echoic.nn.LSTM(INPUT, **options)
    with pytest.raises(ValueError):
        nn.LSTM(INPUT, **options)


def test_refused_inputs() -> None:
    _, ours = pair("LSTM", num_layers=2)
    with pytest.raises(OptionError, match="expected 3"):
        ours(torch.zeros(TIME, BATCH, INPUT + 1, dtype=torch.float64))
    with pytest.raises(OptionError, match="pair"):
        ours(torch.zeros(TIME, BATCH, INPUT, dtype=torch.float64), torch.zeros(2, BATCH, HIDDEN))
    wrong = torch.zeros(1, BATCH, HIDDEN, dtype=torch.float64)
    with pytest.raises(OptionError, match="state of shape"):
        ours(torch.zeros(TIME, BATCH, INPUT, dtype=torch.float64), (wrong, wrong))
