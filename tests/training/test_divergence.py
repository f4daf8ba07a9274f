import pytest
import torch
from tests.training.toy import Batch, Toy, ToyBatches, make_toy, score, settings

from echoic.errors import TrainingDiverged
from echoic.training.checkpoint import read_checkpoint
from echoic.training.contract import Loss
from echoic.training.trainer import Trainer


def bad_batches(number, value=float("nan")):
    batches = ToyBatches(shuffle=False)
    inputs, targets = batches.all[number]
    inputs = inputs.clone()
    inputs[2, 3, 1] = value
    batches.all[number] = Batch(inputs, targets)
    return batches


def train(model, batches, folder=None, **changed):
    return Trainer(model, batches, score, settings(**changed), "cpu").run(folder)


def test_names_the_step_and_the_layer_and_says_what_to_try():
    with pytest.raises(TrainingDiverged) as caught:
        train(make_toy(), bad_batches(3))
    message = str(caught.value)
    assert message.startswith("step 4, epoch 1: the loss became nan, first seen in the output of cell (GRUCell).")
    for advice in ("--learning-rate", "--clip", "extreme values", "checkpoints/"):
        assert advice in message


def test_the_layer_is_the_first_that_is_bad():
    class Late(Toy):
        def loss(self, batch, carry=None):
            self.read.bias.data.fill_(float("inf") if len(self.received) == 7 else 0.0)
            return super().loss(batch, carry)

    with pytest.raises(
        TrainingDiverged, match=r"step 8, epoch 2: the loss became inf, first seen in the weights read\.bias"
    ):
        train(Late(), ToyBatches(), epochs=3)


def test_a_gradient_that_overflows_while_the_loss_is_a_number():
    class Steep(Toy):
        def loss(self, batch, carry=None):
            found = super().loss(batch, carry)
            edge = self.read.bias.square().sum().mul(0.0).sqrt()  # 0 with a gradient of 0 * inf
            return Loss(found.mean + edge, found.count)

    with pytest.raises(
        TrainingDiverged, match=r"step 1, epoch 1: the gradient's norm became nan.*gradient of read\.bias"
    ):
        train(Steep(), ToyBatches())


def test_a_loss_that_no_layer_explains():
    class Odd(Toy):
        def loss(self, batch, carry=None):
            found = super().loss(batch, carry)
            return Loss(found.mean.detach() + self.read.bias.sum() * 0 + float("inf"), found.count)

    with pytest.raises(TrainingDiverged, match="first seen in the loss itself"):
        train(Odd(), ToyBatches())


def test_the_update_is_not_made_and_the_checkpoint_before_it_stays(tmp_path):
    model, whole = make_toy(), make_toy()
    with pytest.raises(TrainingDiverged):
        train(model, bad_batches(3), tmp_path, epochs=1)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    good = ToyBatches(count=6, shuffle=False)
    good.all = good.all[:3]
    train(whole, good, epochs=1)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), whole.parameters(), strict=True))


def test_a_divergence_in_a_later_epoch_leaves_the_last_good_checkpoint(tmp_path):
    class Worse(ToyBatches):
        def epoch(self, number, start=0):
            for batch in super().epoch(number, start):
                yield Batch(batch.inputs * (float("nan") if number == 2 else 1.0), batch.targets)

    with pytest.raises(TrainingDiverged, match="step 13, epoch 3"):
        train(make_toy(), Worse(), tmp_path)
    tensors, facts = read_checkpoint(tmp_path / "checkpoints" / "last.safetensors")
    assert facts["position"]["step"] == 12
    assert all(torch.isfinite(t).all() for n, t in tensors.items() if t.is_floating_point())


def test_a_bad_batch_within_a_group_is_found_at_its_update():
    with pytest.raises(TrainingDiverged, match="step 1, epoch 1"):
        train(make_toy(carries=False), bad_batches(1), accumulate=3)
