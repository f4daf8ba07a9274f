import pytest
import torch
from torch import nn

from echoic.training.averaging import Averaged


def model_of(*values):
    model = nn.Linear(1, len(values), bias=False)
    model.weight.data = torch.tensor(values).reshape(-1, 1)
    return model


def test_average_against_its_definition():
    torch.manual_seed(0)
    model = model_of(0.0, 0.0, 0.0)
    model.weight.data = torch.randn(3, 1)
    averaged, expected = Averaged(model, 0.5), model.weight.detach().clone()
    for number in range(1, 12):
        model.weight.data = torch.randn(3, 1)
        averaged.update()
        decay = min(0.5, (1 + number) / (10 + number))
        expected = decay * expected + (1 - decay) * model.weight.detach()
    torch.testing.assert_close(averaged.weights["weight"], expected)


def test_the_start_is_forgotten_soon():
    model = model_of(100.0)
    averaged = Averaged(model, 0.9999)
    model.weight.data.fill_(1.0)
    for _ in range(20):
        averaged.update()
    assert averaged.weights["weight"].item() == pytest.approx(1.0, abs=0.01)


def test_used_inside_the_block_alone():
    model = model_of(4.0, -2.0)
    averaged = Averaged(model, 0.5)
    model.weight.data.fill_(7.0)
    parameter = model.weight
    with averaged.used():
        assert model.weight.flatten().tolist() == [4.0, -2.0]
    assert model.weight.flatten().tolist() == [7.0, 7.0]
    assert model.weight is parameter


def test_own_weights_come_back_after_an_error():
    model = model_of(4.0)
    averaged = Averaged(model, 0.5)
    model.weight.data.fill_(7.0)

    def fail():
        with averaged.used():
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert model.weight.item() == 7.0


def test_no_average():
    model = model_of(4.0)
    averaged = Averaged(model, None)
    model.weight.data.fill_(7.0)
    averaged.update()
    with averaged.used():
        assert model.weight.item() == 7.0
    assert averaged.weights == {}


def test_whole_numbers_are_not_averaged():
    model = nn.BatchNorm1d(2)
    averaged = Averaged(model, 0.5)
    assert set(averaged.weights) == {"weight", "bias", "running_mean", "running_var"}
    model.num_batches_tracked += 5
    with averaged.used():
        assert int(model.num_batches_tracked) == 5
