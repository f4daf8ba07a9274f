"""A training that is killed continues to exactly the weights of one that was not."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.tiny import TINY

from echoic.cli.main import main
from echoic.tasks import registered_tasks

LONG = ("--epochs", "12", "--hidden-size", "24", "--batch-size", "4", "--layers", "2", "--set", "averaging=0.98")


def command(task: str, data: Path, run: Path, *more: str) -> list[str]:
    options = [str(data), "--out", str(run), *LONG, *TINY[task].options, *more]
    return [sys.executable, "-m", "echoic.cli.main", "train", task, *options]


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(arguments: list[str]) -> None:
    process = start(arguments)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()


@pytest.mark.slow
@pytest.mark.parametrize("task", list(registered_tasks()))
def test_sigkill_and_resume_give_the_weights_of_an_uninterrupted_run(task, tmp_path):
    data = TINY[task].write(tmp_path)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(command(task, data, whole))
    chance = random.Random(task)
    for _ in range(3):
        resume = ("--resume",) if (killed / "checkpoints" / "last.safetensors").exists() else ("--overwrite",)
        process = start(command(task, data, killed, *resume))
        deadline = time.monotonic() + 60
        while process.poll() is None and not (killed / "log.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(chance.uniform(0.05, 1.0))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    resume = ("--resume",) if (killed / "checkpoints" / "last.safetensors").exists() else ("--overwrite",)
    finish(command(task, data, killed, *resume))
    weights = [(run / "model" / "weights.safetensors").read_bytes() for run in (whole, killed)]
    assert weights[0] == weights[1]
    metrics = [json.loads((run / "metrics.json").read_text())["test"] for run in (whole, killed)]
    assert metrics[0] == metrics[1]


@pytest.fixture
def finished(tmp_path):
    data = TINY["classify"].write(tmp_path)
    run = tmp_path / "run"
    options = ["--hidden-size", "4", "--epochs", "1", "--batch-size", "16"]
    assert main(["train", "classify", str(data), "--out", str(run), *options]) == 0
    return data, run, options


def test_resume_with_more_epochs_goes_on(finished):
    data, run, options = finished
    before = json.loads((run / "metrics.json").read_text())["epochs"]
    options = [*options[:-4], "--epochs", "2", *options[-2:]]
    assert main(["train", "classify", str(data), "--out", str(run), *options, "--resume"]) == 0
    assert json.loads((run / "metrics.json").read_text())["epochs"] > before


def test_resume_refuses_other_options(finished, capsys):
    data, run, _ = finished
    assert main(["train", "classify", str(data), "--out", str(run), "--resume", "--hidden-size", "9"]) == 2
    assert "hidden_size 4 to 9" in capsys.readouterr().err


def test_resume_refuses_other_data(finished, capsys):
    data, run, options = finished
    data.write_text(data.read_text() + "kind warm,good\n")
    assert main(["train", "classify", str(data), "--out", str(run), "--resume", *options]) == 2
    assert "other data" in capsys.readouterr().err


def test_resume_refuses_another_task(finished, capsys):
    data, run, _ = finished
    assert main(["train", "generate", str(data), "--out", str(run), "--resume"]) == 2
    assert "run of classify" in capsys.readouterr().err


def test_resume_of_nothing(tmp_path, capsys):
    data = TINY["classify"].write(tmp_path)
    assert main(["train", "classify", str(data), "--out", str(tmp_path / "run"), "--resume"]) == 2
    assert "no such folder" in capsys.readouterr().err


@pytest.mark.parametrize("cut", ["config.json", "model", "model/weights.safetensors", "model/preprocessing.json"])
def test_a_run_that_is_not_whole_is_refused_by_name(finished, cut, capsys):
    data, run, _ = finished
    target = run / cut
    if target.is_dir():
        target.rename(run / "elsewhere")
    else:
        target.unlink()
    assert main(["evaluate", str(run), str(data)]) == 2
    message = capsys.readouterr().err
    assert cut in message
    assert "Traceback" not in message
