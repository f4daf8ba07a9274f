import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.training.lives import MOMENTS
from tests.training.toy import Toy, ToyBatches, make_toy, score, settings
from torch import nn

from echoic.errors import RunError
from echoic.training import trainer
from echoic.training.contract import Loss
from echoic.training.trainer import Trainer

ROOT = Path(__file__).parents[2]
OPTIONS = {"epochs": 3, "averaging": 0.8, "schedule": "one-cycle", "warmup": 0.2}


@pytest.fixture(scope="module")
def lives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lives")
    command = [sys.executable, "-m", "tests.training.lives", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def without_times(line):
    return {name: value for name, value in json.loads(line).items() if name != "seconds"}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(MOMENTS))
def test_killed_and_resumed_is_bitwise_as_never_killed(lives, name):
    expected, found = load_file(lives / "whole.safetensors"), load_file(lives / f"{name}.safetensors")
    assert list(found) == list(expected)
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    logs = [(lives / run / "log.jsonl").read_text().splitlines() for run in ("whole", name)]
    assert [without_times(line) for line in logs[1]] == [without_times(line) for line in logs[0]]


class Stopped(Exception):
    """Stands for the end of a process."""


class Stopping(ToyBatches):
    def __init__(self, after):
        super().__init__(count=5)
        self.after = after

    def epoch(self, number, start=0):
        for batch in super().epoch(number, start):
            if self.served > self.after:
                raise Stopped
            yield batch


def run(model, folder, batches=None, resume=False, **changed):
    options = settings(**{**OPTIONS, **changed})
    return Trainer(model, batches or ToyBatches(count=5), score, options, "cpu").run(folder, resume)


@pytest.mark.parametrize(
    ("optimiser", "after"), [("adamw", 1), ("adamw", 5), ("adamw", 7), ("sgd", 3), ("rmsprop", 6), ("adagrad", 8)]
)
def test_stopped_and_resumed_in_one_process(tmp_path, monkeypatch, optimiser, after):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    whole, cut, resumed = make_toy(0.3), Toy(0.3), Toy(0.3)
    torch.manual_seed(3)
    expected = run(whole, tmp_path / "whole", optimiser=optimiser)
    cut.load_state_dict(make_toy().state_dict())
    torch.manual_seed(3)
    with pytest.raises(Stopped):
        run(cut, tmp_path / "cut", Stopping(after), optimiser=optimiser)
    found = run(resumed, tmp_path / "cut", resume=True, optimiser=optimiser)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name
    assert (found.best, found.best_step, found.steps) == (expected.best, expected.best_step, expected.steps)
    assert found.health == expected.health


def test_the_carried_state_comes_back_in_its_own_structure(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)
    cut, resumed = make_toy(), make_toy()
    with pytest.raises(Stopped):
        run(cut, tmp_path, Stopping(2))
    run(resumed, tmp_path, resume=True)
    carry = resumed.received[0]
    assert carry["memory"].mark == "toy"
    assert carry["memory"].hidden.abs().max() > 0


def test_statistics_are_not_moved_by_finding_the_structure(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "CHECKPOINT_SECONDS", 0.0)

    class Normed(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.read = nn.BatchNorm1d(3), nn.Linear(3, 1)

        def loss(self, batch, carry=None):
            found = self.read(self.norm(batch.inputs[:, 0]))[:, 0]
            return Loss((found - batch.targets[:, 0]).square().mean(), len(found), (None, found, None))

    model = Normed()
    with pytest.raises(Stopped):
        run(model, tmp_path, Stopping(3), epochs=1)
    resumed = Normed()
    run(resumed, tmp_path, resume=True, epochs=1)
    assert int(resumed.norm.num_batches_tracked) == 5


def test_resuming_a_finished_training_changes_nothing(tmp_path):
    model, again = make_toy(), make_toy(seed=4)
    first = run(model, tmp_path)
    served = ToyBatches(count=5)
    second = run(again, tmp_path, served, resume=True)
    assert served.served == 0
    assert (second.steps, second.best, second.history) == (first.steps, first.best, first.history)
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in model.state_dict().items())


def test_resuming_with_more_epochs_goes_on(tmp_path):
    run(make_toy(), tmp_path, schedule="constant")
    outcome = run(make_toy(), tmp_path, resume=True, schedule="constant", epochs=5)
    assert (outcome.steps, outcome.epochs) == (25, 5)
    assert [e["step"] for e in outcome.history if "validation" in e] == [5, 10, 15, 20, 25]


def test_out_of_patience_stays_out_of_patience(tmp_path):
    losses = iter([1.0, 2.0, 3.0])
    options = settings(epochs=9, patience=2)
    Trainer(make_toy(), ToyBatches(), lambda model: {"loss": next(losses)}, options, "cpu").run(tmp_path)
    outcome = Trainer(make_toy(), ToyBatches(), score, options, "cpu").run(tmp_path, resume=True)
    assert (outcome.steps, outcome.best) == (18, {"loss": 1.0})
    assert outcome.stopped_because.startswith("stopped: no better after 2 validations")


def test_elapsed_time_adds_up(tmp_path):
    Trainer(make_toy(), ToyBatches(), score, settings(epochs=1), "cpu", spent=500.0).run(tmp_path)
    outcome = Trainer(make_toy(), ToyBatches(), score, settings(epochs=2), "cpu").run(tmp_path, resume=True)
    assert outcome.seconds > 500


def test_nothing_to_resume(tmp_path):
    with pytest.raises(RunError, match="no checkpoint to resume from"):
        run(make_toy(), tmp_path, resume=True)


def test_a_checkpoint_of_another_model(tmp_path):
    run(make_toy(), tmp_path, epochs=1)
    other = make_toy()
    other.cell = nn.GRUCell(3, 7)
    with pytest.raises(RunError, match="not one of this training"):
        run(other, tmp_path, resume=True)


def test_a_checkpoint_of_other_settings(tmp_path):
    run(make_toy(), tmp_path, epochs=1, averaging=None)
    with pytest.raises(RunError, match="not one of this training"):
        run(make_toy(), tmp_path, resume=True)
