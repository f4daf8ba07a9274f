import pytest
import torch
from tests.training.toy import make_toy, settings
from torch import nn

from echoic.training.optimisers import OPTIMISERS, make_optimiser


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_vectors_are_not_decayed(name):
    model = make_toy()
    optimiser = make_optimiser(model, settings(optimiser=name, weight_decay=0.1), 0.5)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    for key, parameter in model.named_parameters():
        if parameter.dim() > 1:
            assert torch.equal((before[key] - parameter).sign(), before[key].sign()), key
        else:
            assert torch.equal(parameter, before[key]), key


@pytest.mark.parametrize("name", sorted(OPTIMISERS))
def test_every_rule_goes_downhill(name):
    place = nn.Linear(1, 4)
    torch.manual_seed(0)
    place.weight.data, place.bias.data = torch.randn(4, 1) + 3, torch.randn(4) - 3
    optimiser = make_optimiser(place, settings(optimiser=name, weight_decay=0.0), 0.05)
    values = []
    for _ in range(200):
        optimiser.zero_grad()
        value = place.weight.square().sum() + place.bias.square().sum()
        value.backward()
        optimiser.step()
        values.append(value.item())
    assert values[-1] < 0.5 * values[0]


def test_every_option_reaches_its_rule():
    model = make_toy()
    made = {n: make_optimiser(model, settings(optimiser=n, momentum=0.7), 0.03) for n in OPTIMISERS}
    assert made["adamw"].param_groups[0]["betas"] == (0.7, 0.99)
    assert made["sgd"].param_groups[0]["momentum"] == 0.7
    assert made["sgd"].param_groups[0]["nesterov"]
    assert made["rmsprop"].param_groups[0]["momentum"] == 0.7
    assert {group["lr"] for optimiser in made.values() for group in optimiser.param_groups} == {0.03}
    assert not make_optimiser(model, settings(optimiser="sgd", momentum=0.0), 0.1).param_groups[0]["nesterov"]


def test_every_rule_of_the_settings_exists():
    names = settings().__class__.model_json_schema()["properties"]["optimiser"]["enum"]
    assert sorted(names) == sorted(OPTIMISERS)


def test_frozen_parameters_and_empty_groups_are_left_out():
    model = make_toy()
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.dim() == 1)
    groups = make_optimiser(model, settings(), 0.1).param_groups
    assert [len(group["params"]) for group in groups] == [3]
    assert groups[0]["weight_decay"] == 0.0
