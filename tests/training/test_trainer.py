import json
import os
import signal

import pytest
import torch
from tests.training.toy import Batch, Toy, ToyBatches, make_toy, score, settings
from torch import nn

from echoic import notices
from echoic.training.budget import Budget
from echoic.training.checkpoint import read_checkpoint
from echoic.training.contract import Loss
from echoic.training.trainer import Trainer


def train(model, batches=None, validate=score, folder=None, resume=False, **changed):
    trainer = Trainer(model, batches or ToyBatches(), validate, settings(**changed), device="cpu")
    return trainer.run(folder, resume)


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one, other):
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_learns():
    model = make_toy()
    before = score(model)["loss"]
    outcome = train(model, epochs=30)
    assert score(model)["loss"] < 0.3 * before
    assert (outcome.steps, outcome.epochs) == (180, 30)
    assert outcome.stopped_because.startswith("trained all 30 epochs; best at step")
    assert not model.training


def test_best_weights_are_kept_in_model_and_checkpoint(tmp_path):
    losses, seen = iter([3.0, 1.0, 2.0, 4.0]), []

    def validate(model):
        seen.append(weights(model))
        return {"loss": next(losses), "other": 7.0}

    model = make_toy()
    outcome = train(model, validate=validate, folder=tmp_path, epochs=4)
    assert len(seen) == 4
    assert not same(seen[1], seen[3])
    assert same(weights(model), seen[1])
    assert (outcome.best_step, outcome.best) == (12, {"loss": 1.0, "other": 7.0})
    tensors, facts = read_checkpoint(tmp_path / "checkpoints" / "best.safetensors")
    assert same({name: tensors[name] for name in seen[1]}, seen[1])
    assert facts == {"step": 12, "metrics": {"loss": 1.0, "other": 7.0}}


def test_a_loss_that_is_never_a_number_in_validation_still_leaves_weights():
    outcome = train(make_toy(), validate=lambda model: {"loss": float("nan")})
    assert outcome.best_step == 6


def test_patience_counts_validations_without_improvement():
    losses = iter([5.0, 4.0, 4.5, 3.0, 3.5, 3.2, 1.0])
    outcome = train(make_toy(), validate=lambda model: {"loss": next(losses)}, epochs=7, patience=2)
    assert outcome.epochs == 6
    assert outcome.best_step == 24
    assert outcome.stopped_because == "stopped: no better after 2 validations; best at step 24 of 36"


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
@pytest.mark.parametrize("accumulate", [2, 3, 4])
def test_accumulation_equals_a_larger_batch(optimiser, accumulate):
    """Also with batches of unequal sizes, and a last group that is not full."""
    sizes = [4, 1, 3, 2, 5]
    small = ToyBatches(count=5, size=5, shuffle=False)
    small.all = [Batch(b.inputs[:size], b.targets[:size]) for b, size in zip(small.all, sizes, strict=True)]
    groups = [small.all[i : i + accumulate] for i in range(0, 5, accumulate)]
    large = ToyBatches(count=len(groups), shuffle=False)
    large.all = [Batch(*(torch.cat(part) for part in zip(*group, strict=True))) for group in groups]
    found, expected = make_toy(carries=False).double(), make_toy(carries=False).double()
    for batches in (small, large):
        batches.all = [Batch(b.inputs.double(), b.targets.double()) for b in batches.all]
    outcome = train(found, small, lambda model: {"loss": 0.0}, accumulate=accumulate, epochs=1, optimiser=optimiser)
    train(expected, large, lambda model: {"loss": 0.0}, epochs=1, optimiser=optimiser)
    assert outcome.steps == len(groups)
    for name, tensor in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], tensor, rtol=1e-9, atol=1e-11)


def test_carry_is_handed_on_detached_and_reset_at_the_start_of_an_epoch():
    model = make_toy()
    train(model, ToyBatches(count=3), epochs=2)
    assert [carry is None for carry in model.received] == [True, False, False] * 2
    hidden = [carry["memory"].hidden for carry in model.received if carry is not None]
    assert not any(state.requires_grad for state in hidden)
    assert all(state.abs().max() > 0 for state in hidden)
    assert len({state.sum().item() for state in hidden}) == 4


def test_the_averaged_weights_are_validated_and_kept():
    validated, plain, trajectory = [], make_toy(), []
    train(plain, validate=lambda model: trajectory.append(weights(model)) or {"loss": 1.0 / len(trajectory)}, epochs=1)
    averaged = make_toy()

    def validate(model):
        validated.append(weights(model))
        return {"loss": 1.0}

    train(averaged, validate=validate, epochs=1, averaging=0.9)
    assert not same(validated[0], trajectory[0])
    assert same(weights(averaged), validated[0])


def test_averaging_changes_nothing_in_the_training_itself():
    logs = [train(make_toy(), epochs=2, averaging=decay).history for decay in (None, 0.9)]
    losses = [[entry["loss"] for entry in log if "loss" in entry] for log in logs]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 12


@pytest.mark.parametrize(("clip", "share"), [(1e-6, 1.0), (1e6, 0.0), (None, 0.0)])
def test_clipped_updates_are_counted(clip, share):
    outcome = train(make_toy(), clip=clip)
    assert outcome.clipped_share == share
    assert outcome.health["updates"] == 18
    assert outcome.health["steps"] == list(range(1, 19))
    assert sorted(outcome.health["layers"]) == ["cell", "read"]


def test_clipping_holds_the_updates_back():
    free, held = make_toy(), make_toy()
    before = weights(free)
    train(free, epochs=1, clip=None, optimiser="sgd", momentum=0.0, weight_decay=0.0)
    train(held, epochs=1, clip=1e-3, optimiser="sgd", momentum=0.0, weight_decay=0.0)
    moved = [sum((m[n] - before[n]).square().sum() for n in before) ** 0.5 for m in (weights(free), weights(held))]
    assert moved[1] <= 6 * 0.02 * 1e-3 * 1.01
    assert moved[0] > 10 * moved[1]


def test_journal(tmp_path):
    outcome = train(make_toy(), folder=tmp_path, epochs=2)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == outcome.history
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6, 6, 7, 8, 9, 10, 11, 12, 12]
    assert set(lines[0]) == {"step", "epoch", "seconds", "loss", "learning_rate", "gradient_norm"}
    assert set(lines[6]["validation"]) == {"loss"}
    assert [path.name.split(".")[0] for path in (tmp_path / "tensorboard").iterdir()] == ["events"]


def test_schedule_reaches_the_optimiser():
    outcome = train(make_toy(), schedule="one-cycle", warmup=0.5, epochs=4)
    rates = [entry["learning_rate"] for entry in outcome.history if "loss" in entry]
    assert max(rates) == pytest.approx(0.02)
    assert rates.index(max(rates)) == 11
    assert rates[-1] < 0.001


def test_max_minutes_stops_between_updates(monkeypatch):
    """By a clock that the batches move."""
    clock = [100.0]
    monkeypatch.setattr("echoic.training.budget.time.monotonic", lambda: clock[0])

    class Slow(ToyBatches):
        def epoch(self, number, start=0):
            for batch in super().epoch(number, start):
                clock[0] += 1.0
                yield batch

    outcome = train(make_toy(), Slow(), max_minutes=0.5, epochs=1000)
    assert outcome.stopped_because.startswith("stopped after 0.5 minutes")
    assert 15 <= outcome.steps <= 30
    assert outcome.best
    assert outcome.seconds <= 30


def test_max_minutes_counts_what_was_spent_before(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("echoic.training.budget.time.monotonic", lambda: clock[0])
    outcome = Trainer(make_toy(), ToyBatches(), score, settings(max_minutes=1.0), "cpu", spent=3600.0).run()
    assert outcome.steps == 1
    assert outcome.stopped_because.startswith("stopped after 1 minute;")


def test_budget_of_a_real_clock_ends():
    outcome = train(make_toy(), max_minutes=0.005, epochs=10**6)
    assert outcome.steps < 10**6
    assert outcome.stopped_because.startswith("stopped after 0.005 minutes")


def interrupting(at):
    """A validation that is interrupted by Ctrl-C at its call number ``at``."""
    calls = []

    def validate(model):
        calls.append(1)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGINT)
        return score(model)

    return validate


@pytest.mark.parametrize("accumulate", [1, 4])
def test_ctrl_c_ends_in_good_order_and_resume_continues(tmp_path, accumulate):
    options = {"epochs": 4, "averaging": 0.9, "accumulate": accumulate}
    whole = make_toy(dropout=0.3)
    expected = train(whole, folder=tmp_path / "whole", **options)
    handler = signal.getsignal(signal.SIGINT)
    cut = make_toy(dropout=0.3)
    first = train(cut, validate=interrupting(2), folder=tmp_path / "cut", **options)
    assert signal.getsignal(signal.SIGINT) is handler
    assert first.stopped_because.startswith("stopped by Ctrl-C; --resume continues")
    assert first.epochs == 2
    assert not same(weights(cut), weights(whole))
    resumed = make_toy(dropout=0.3, seed=5)
    second = train(resumed, folder=tmp_path / "cut", resume=True, **options)
    assert same(weights(resumed), weights(whole))
    assert second.stopped_because == expected.stopped_because
    lines = [json.loads(line) for line in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [line["step"] for line in expected.history]


def test_a_second_ctrl_c_ends_at_once():
    def validate(model):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        return score(model)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(make_toy(), validate=validate)
    assert signal.getsignal(signal.SIGINT) is handler


def test_padding_and_loader_shares(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("echoic.training.trainer.time.monotonic", lambda: clock[0])

    class Slow(ToyBatches):
        def epoch(self, number, start=0):
            for batch in super().epoch(number, start):
                clock[0] += 3.0
                yield batch

    class Busy(Toy):
        def loss(self, batch, carry=None):
            clock[0] += 1.0 if self.training else 0.0
            return super().loss(batch, carry)

    with notices.collected() as said:
        outcome = train(Busy(), Slow(), epochs=2)
    assert outcome.padding_share == 0.125
    assert outcome.loader_share == pytest.approx(0.75)
    assert said == ["75% of the training time was spent waiting for data."]


def test_nothing_is_written_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train(make_toy(), epochs=1)
    assert list(tmp_path.iterdir()) == []


def test_the_learning_rate_is_found_when_asked():
    with notices.collected() as said:
        outcome = train(make_toy(), learning_rate="auto", epochs=1)
    assert 1e-5 < outcome.learning_rate < 1
    assert any("range test" in text for text in said)


def test_the_search_for_a_rate_counts_towards_the_limit(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("echoic.training.trainer.time.monotonic", lambda: clock[0])

    def slow(*arguments):
        clock[0] += 50.0
        return 0.01

    monkeypatch.setattr("echoic.training.trainer.find_learning_rate", slow)
    assert train(make_toy(), learning_rate="auto", epochs=1).seconds == 50.0


def test_frozen_parameters_stay():
    model = make_toy()
    model.cell.requires_grad_(False)
    before = weights(model)
    train(model, epochs=1)
    after = weights(model)
    assert torch.equal(after["cell.weight_hh"], before["cell.weight_hh"])
    assert not torch.equal(after["read.weight"], before["read.weight"])


def test_statistics_of_a_layer_are_part_of_the_weights():
    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.read = nn.BatchNorm1d(3), nn.Linear(3, 1)

        def loss(self, batch, carry=None):
            found = self.read(self.norm(batch.inputs[:, 0]))
            return Loss((found[:, 0] - batch.targets[:, 0]).square().mean(), len(found))

    torch.manual_seed(2)
    model = Normed()
    train(model, epochs=2, averaging=0.5)
    assert int(model.norm.num_batches_tracked) == 12
    assert model.norm.running_mean.abs().max() > 0


def test_the_budget_is_that_of_updates_not_of_batches(monkeypatch):
    totals = []

    class Noted(Budget):
        def __init__(self, total, *rest):
            totals.append(total)
            super().__init__(total, *rest)

    monkeypatch.setattr("echoic.training.trainer.Budget", Noted)
    outcome = train(make_toy(), accumulate=4, epochs=3)
    assert totals == [6]
    assert outcome.steps == 6
