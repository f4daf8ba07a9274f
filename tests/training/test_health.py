import json
import math

import pytest
import torch
from torch import nn

from echoic.training.health import POINTS, Health


def model_with(*gradients):
    model = nn.ModuleDict({f"layer{i}": nn.Linear(2, 3) for i in range(len(gradients))})
    for layer, size in zip(model.values(), gradients, strict=True):
        if size is not None:
            layer.weight.grad = torch.full((3, 2), size)
            layer.bias.grad = torch.full((3,), -2 * size)
    return model


def test_norms_are_those_of_each_layer():
    health = Health()
    health.measure(model_with(0.5, 3.0), 1)
    assert health.layers["layer0"] == [pytest.approx((6 * 0.25 + 3 * 1.0) ** 0.5)]
    assert health.layers["layer1"] == [pytest.approx(18**0.5 * 3.0)]


def test_a_parameter_without_a_layer_has_its_own_name():
    model = nn.ParameterDict({"start": nn.Parameter(torch.zeros(2))})
    model["start"].grad = torch.tensor([3.0, 4.0])
    health = Health()
    health.measure(model, 1)
    assert health.layers == {"start": [5.0]}


def test_layers_that_come_later_are_as_long_as_the_steps():
    health = Health()
    health.measure(model_with(1.0, None), 1)
    health.measure(model_with(1.0, 2.0), 2)
    assert math.isnan(health.layers["layer1"][0])
    assert len(health.layers["layer1"]) == len(health.steps) == 2


def test_layers_that_go_are_as_long_as_the_steps():
    health = Health()
    health.measure(model_with(1.0, 2.0), 1)
    health.measure(model_with(1.0, None), 2)
    health.measure(model_with(1.0, 2.0), 3)
    assert {len(values) for values in health.layers.values()} == {3}
    assert math.isnan(health.layers["layer1"][1])


def test_long_trainings_are_thinned_out():
    health, model = Health(), model_with(1.0)
    for step in range(1, 5 * POINTS):
        model["layer0"].weight.grad.fill_(step)
        model["layer0"].bias.grad.zero_()
        health.measure(model, step)
    assert POINTS / 2 <= len(health.steps) <= POINTS
    assert {b - a for a, b in zip(health.steps, health.steps[1:], strict=False)} == {health.stride}
    assert health.steps[-1] > 4.9 * POINTS
    assert health.layers["layer0"] == pytest.approx([step * 6**0.5 for step in health.steps])


def test_clipped_share():
    health = Health()
    assert health.clipped_share == 0.0
    for clipped in (True, False, False, True, False):
        health.count(clipped)
    assert health.clipped_share == pytest.approx(0.4)


def test_round_trip_through_json():
    health, again = Health(), Health()
    for step in range(1, POINTS + 9):
        health.measure(model_with(float(step)), step)
        health.count(step % 3 == 0)
    again.restore(json.loads(json.dumps(health.facts())))
    assert again.facts() == health.facts()
    for other in (health, again):
        other.measure(model_with(7.0), POINTS + 10)
    assert again.facts() == health.facts()
