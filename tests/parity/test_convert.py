"""echoic.convert on models their authors wrote for torch.nn."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from echoic.layers.convert import convert
from echoic.layers.dropin import GRU, LSTM, DropIn
from echoic.notices import collected

# torch says so of its own layer too
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


class Tagger(nn.Module):
    """Somebody's model: packed bidirectional LSTM, a GRU in a list, a layer that occurs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 6)
        self.encoder = nn.LSTM(6, 5, num_layers=2, bidirectional=True, batch_first=True, dropout=0.2)
        self.more = nn.ModuleList([nn.GRU(10, 10), nn.Linear(10, 10)])
        self.also = nn.Sequential(self.more[0])
        self.out = nn.Linear(10, 4)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        self.encoder.flatten_parameters()
        packed = pack_padded_sequence(self.embed(tokens), lengths, batch_first=True, enforce_sorted=False)
        outputs, (hidden, _) = self.encoder(packed)
        outputs, _ = pad_packed_sequence(outputs, batch_first=True)
        outputs, state = self.more[0](outputs.transpose(0, 1))
        outputs, _ = self.also[0](outputs, state)
        return self.out(outputs) + hidden.sum()


def test_a_strangers_model_is_unchanged_but_for_its_layers() -> None:
    torch.manual_seed(0)
    model = Tagger().double().eval()
    original = copy.deepcopy(model)
    parameters = list(model.parameters())
    assert convert(model) is model
    assert type(model.encoder) is LSTM
    assert type(model.more[0]) is GRU
    assert model.also[0] is model.more[0]
    assert not any(isinstance(module, nn.RNNBase) for module in model.modules())
    assert all(ours is before for ours, before in zip(model.parameters(), parameters, strict=True))
    assert list(model.state_dict()) == list(original.state_dict())
    tokens, lengths = torch.randint(0, 20, (4, 9)), torch.tensor([3, 9, 1, 6])
    for left in (model, original):
        left(tokens, lengths).square().sum().backward()
    torch.testing.assert_close(model(tokens, lengths), original(tokens, lengths))
    for ours, theirs in zip(model.parameters(), original.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    assert not model.encoder.training
    assert model.train().encoder.training


@pytest.mark.parametrize(
    "layer",
    [nn.RNN(3, 4, nonlinearity="relu", bias=False), nn.LSTM(3, 4, 2, proj_size=2), nn.GRU(3, 4, bidirectional=True)],
    ids=str,
)
def test_the_root_itself(layer: nn.RNNBase) -> None:
    ours = convert(layer)
    assert isinstance(ours, DropIn)
    inputs = torch.randn(6, 2, 3)
    torch.testing.assert_close(ours(inputs)[0], layer(inputs)[0])
    assert next(ours.parameters()) is next(layer.parameters())


def test_tied_weights_stay_tied() -> None:
    model = nn.ModuleList([nn.GRU(4, 4), nn.GRU(4, 4)])
    model[1].weight_hh_l0 = model[0].weight_hh_l0
    convert(model)
    assert model[1].weight_hh_l0 is model[0].weight_hh_l0
    before = model[1](torch.ones(3, 1, 4))[0]
    with torch.no_grad():
        model[0].weight_hh_l0.mul_(3)
    assert not torch.allclose(model[1](torch.ones(3, 1, 4))[0], before)


def test_hooks_stay() -> None:
    model = nn.Sequential(nn.GRU(3, 4))
    seen: list[str] = []
    handle = model[0].register_forward_hook(lambda module, inputs, output: seen.append(type(module).__module__))
    convert(model)[0](torch.zeros(2, 1, 3))
    assert seen == ["echoic.layers.dropin"]
    handle.remove()
    model[0](torch.zeros(2, 1, 3))
    assert len(seen) == 1


def test_parametrised_layers_are_left_and_said() -> None:
    model = nn.Sequential(nn.GRU(3, 4), parametrizations.weight_norm(nn.LSTM(3, 4), "weight_hh_l0"))
    with collected() as notices:
        convert(model)
    assert isinstance(model[0], GRU)
    assert isinstance(model[1], nn.LSTM)
    assert len(notices) == 1
    assert notices[0].startswith("convert: 1 is a ParametrizedLSTM")
    with collected() as notices:
        assert convert(model[1]) is model[1]
    assert notices[0].startswith("convert: the model is a ParametrizedLSTM")
