import pytest
import torch
from tests.training.toy import Batch, ToyBatches, make_toy

from echoic.training.validation import device_of, mean_loss, to_device


def test_mean_is_weighted_by_the_targets_and_carries_the_state():
    batches, model = ToyBatches(count=3, shuffle=False), make_toy(dropout=0.5)
    batches.all[1] = Batch(batches.all[1].inputs[:, :2], batches.all[1].targets[:, :2])
    together = Batch(*(torch.cat(part, 1) for part in zip(*batches.all, strict=True)))
    found = mean_loss(model, batches)
    model.eval()
    assert found == pytest.approx(model.loss(together).mean.item(), rel=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_mode_and_gradients_are_left_as_they_were(training):
    model = make_toy(dropout=0.5).train(training)
    found = [mean_loss(model, ToyBatches()) for _ in range(2)]
    assert found[0] == found[1]
    assert model.training is training
    assert all(p.grad is None for p in model.parameters())


def test_no_batches():
    assert mean_loss(make_toy(), ToyBatches(count=0)) == 0.0


def test_batches_of_any_structure_go_to_a_device():
    batch = {"x": (torch.ones(2), "name", 3), "y": Batch(torch.zeros(1), torch.ones(1))}
    moved = to_device(batch, torch.device("meta"))
    assert moved["x"][0].device.type == moved["y"].targets.device.type == "meta"
    assert moved["x"][1:] == ("name", 3)
    assert isinstance(moved["y"], Batch)
    assert device_of(make_toy()).type == "cpu"
