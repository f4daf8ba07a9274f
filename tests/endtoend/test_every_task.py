"""What every task does from the command line, found in the registry: train, evaluate, predict, compare, refuse."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from tests.tiny import QUICK, TINY

import echoic
from echoic.cli.main import main
from echoic.tasks import registered_tasks

TASKS = list(registered_tasks())


def train(task: str, folder: Path, *more: str, name: str = "run") -> tuple[int, Path, Path]:
    data = TINY[task].write(folder)
    run = folder / name
    code = main(["train", task, str(data), "--out", str(run), *QUICK, *TINY[task].options, *more])
    return code, run, data


@pytest.fixture(scope="module", params=TASKS)
def trained(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    code, run, data = train(request.param, folder)
    assert code == 0
    return request.param, run, data


def test_every_task_has_tiny_data():
    assert set(TASKS) == set(TINY)


def test_the_run_directory_is_whole(trained):
    task, run, _ = trained
    config = json.loads((run / "config.json").read_text())
    assert config["task"] == task
    assert config["settings"]["model"]["hidden_size"] == 5
    assert config["data"]["sha256"]
    assert config["versions"]["torch"]
    assert config["command"]
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["validation"]
    assert metrics["test"]
    assert metrics["baselines"]
    assert metrics["parameters"] > 0
    for baseline in metrics["baselines"].values():
        assert set(baseline) & set(metrics["test"]), "baselines are scored with the same metrics as the model"
    for line in (run / "log.jsonl").read_text().splitlines():
        assert "step" in json.loads(line)
    names = {p.name for p in (run / "model").iterdir()}
    assert {"config.json", "preprocessing.json", "weights.safetensors"} <= names
    assert not [p for p in run.rglob("*") if p.suffix in (".pt", ".pth", ".pkl", ".ckpt")]


def test_the_report_needs_nothing_else(trained):
    _, run, _ = trained
    page = (run / "report.html").read_text(encoding="utf-8")

    class Links(HTMLParser):
        found: list[str] = []

        def handle_starttag(self, tag, attrs):
            if tag != "a":
                self.found += [v for k, v in attrs if k in ("src", "href") and v and not v.startswith(("#", "data:"))]

    parser = Links()
    parser.feed(page)
    assert parser.found == []
    assert "<svg" in page
    assert "echoic" in page


def test_evaluate_prints_one_json_document(trained, capsys):
    _, run, data = trained
    capsys.readouterr()
    assert main(["evaluate", str(run), str(data), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["metrics"]


def test_a_loaded_model_evaluates_as_the_fitted_one(trained):
    """Metrics of a saved and loaded model equal those of the same estimator before it was saved."""
    _, run, data = trained
    first, second = echoic.load(run), echoic.load(run)
    assert first.evaluate(data) == second.evaluate(data)
    copy = run.parent / "copy"
    first.save(copy, overwrite=True)
    assert echoic.load(copy).evaluate(data) == first.evaluate(data)


def test_predict_writes_a_table(trained, tmp_path, capsys):
    _, run, data = trained
    source = tmp_path / "prompts.csv"
    if data.suffix == ".txt":  # a language model predicts continuations of a table's texts
        source.write_text("prompt\nthe sea\nthe wind\n")
    else:
        source = data
    out = tmp_path / "predictions.csv"
    assert main(["predict", str(run), str(source), "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == pl.read_csv(out).height > 0
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_predict_does_not_replace_its_input(trained, capsys):
    _, run, data = trained
    if data.suffix != ".csv":
        pytest.skip("the input is no table")
    before = data.read_bytes()
    assert main(["predict", str(run), str(data), "--out", str(data)]) == 2
    assert data.read_bytes() == before


def test_an_existing_run_is_not_replaced(trained, capsys):
    task, run, data = trained
    before = (run / "metrics.json").read_bytes()
    assert main(["train", task, str(data), "--out", str(run), *QUICK]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (run / "metrics.json").read_bytes() == before


def test_a_wrong_option_is_named(trained, tmp_path, capsys):
    task, _, data = trained
    for option, value, word in [
        ("--hidden-size", "many", "hidden_size"),
        ("--cell", "LTSM", "LSTM"),
        ("--set", "droput=0.2", "dropout"),
        ("--set", "dropout", "key=value"),
        ("--learning-rate", "fast", "learning_rate"),
    ]:
        assert main(["train", task, str(data), "--out", str(tmp_path / "no"), option, value]) == 2
        message = capsys.readouterr().err
        assert word in message
        assert "Traceback" not in message
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("task", TASKS)
def test_wrong_data_leave_nothing_behind(task, tmp_path, capsys):
    content, word = TINY[task].wrong
    data = tmp_path / f"wrong{TINY[task].write(tmp_path).suffix}"
    data.write_text(content)
    assert main(["train", task, str(data), "--out", str(tmp_path / "run"), *QUICK, *TINY[task].options]) == 2
    message = capsys.readouterr().err
    assert word in message
    assert "Traceback" not in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("task", TASKS)
def test_missing_file(task, tmp_path, capsys):
    assert main(["train", task, str(tmp_path / "none.csv"), "--out", str(tmp_path / "run")]) == 2
    assert "none.csv" in capsys.readouterr().err


def test_two_runs_side_by_side(trained, tmp_path, capsys):
    task, run, data = trained
    other = tmp_path / "other"
    assert main(["train", task, str(data), "--out", str(other), *QUICK, *TINY[task].options, "--cell", "Elman"]) == 0
    capsys.readouterr()
    assert main(["compare", str(run), str(other)]) == 0
    assert "Elman" in capsys.readouterr().out
    assert main(["compare", str(run), str(other), "--json"]) == 0
    json.loads(capsys.readouterr().out)
    assert main(["compare", str(run)]) == 2


@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_gives_the_same_weights(task, tmp_path):
    first, second = (train(task, tmp_path, name=name)[1] for name in ("first", "second"))
    weights = [(run / "model" / "weights.safetensors").read_bytes() for run in (first, second)]
    assert weights[0] == weights[1]
