"""A user's own cell on every task, from the command line and from Python; its run opens only with the file named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cells.test_own import FADING
from tests.tiny import QUICK, TINY

import echoic
from echoic.cells import own
from echoic.cli.main import main
from echoic.errors import CellError

OPTIONS = ["--epochs", "1", *QUICK[2:]]


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    """Each test begins as a new process does: with no file adopted."""
    monkeypatch.setattr(own, "_adopted", {})


@pytest.fixture
def cell(tmp_path: Path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("fading.py").write_text(FADING)
    return "fading.py:Fading"


def train(task: str, data: Path, *more: str) -> int:
    return main(["train", task, str(data), "--out", "run", *TINY[task].options, *OPTIONS, *more, "--json"])


@pytest.mark.parametrize("task", TINY)
def test_every_task_trains_with_it_and_opens_when_it_is_named(task, cell, tmp_path, capsys):
    data = TINY[task].write(tmp_path)
    assert train(task, data, "--cell", cell) == 0
    capsys.readouterr()
    for config in ("config.json", "model/config.json"):
        assert json.loads(Path("run", config).read_text())["settings"]["model"]["cell"].startswith(f"{cell}#")
    assert not list(Path("run").rglob("*.py*"))
    own._adopted.clear()
    assert main(["evaluate", "run", str(data), "--json"]) == 2
    assert f"--cell {cell}" in json.loads(capsys.readouterr().out)["error"]
    assert main(["evaluate", "run", str(data), "--cell", cell, "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)["metrics"]
    assert all(value == value for value in metrics.values())


def test_predict_and_generate(cell, tmp_path, capsys):
    data = TINY["forecast"].write(tmp_path)
    assert train("forecast", data, "--cell", cell) == 0
    own._adopted.clear()
    assert main(["predict", "run", str(data), "--out", "next.csv"]) == 2
    assert not Path("next.csv").exists()
    assert main(["predict", "run", str(data), "--out", "next.csv", "--cell", cell]) == 0
    assert Path("next.csv").exists()
    assert train("generate", TINY["generate"].write(tmp_path), "--cell", cell, "--overwrite") == 0
    own._adopted.clear()
    capsys.readouterr()
    assert main(["generate", "run", "--length", "9"]) == 2
    assert main(["generate", "run", "--length", "9", "--seed", "1", "--cell", cell, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"]


def test_resuming(cell, tmp_path, capsys):
    data = TINY["classify"].write(tmp_path)
    assert train("classify", data, "--cell", cell) == 0
    own._adopted.clear()
    more = ["--epochs", "2", "--resume"]
    assert train("classify", data, *more) == 2
    assert f"--cell {cell}" in capsys.readouterr().err
    assert train("classify", data, *more, "--cell", "GRU") == 2
    assert "found GRU" in capsys.readouterr().err
    Path("fading.py").rename("moved.py")
    assert train("classify", data, *more, "--cell", "moved.py:Fading") == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 2
    own._adopted.clear()
    Path("moved.py").write_text(FADING.replace("0.5", "0.75"))
    assert train("classify", data, *more, "--epochs", "3", "--cell", "moved.py:Fading") == 2
    assert "has been changed" in capsys.readouterr().err


def test_a_run_of_unknown_origin_runs_nothing(cell, tmp_path, capsys):
    """The path in a run may name any file of this machine, and its SHA-256 may even be right."""
    data = TINY["classify"].write(tmp_path)
    assert train("classify", data) == 0
    Path("trap.py").write_text(f"import pathlib\npathlib.Path('sprung').touch()\n{FADING}")
    sha256 = own.hashlib.sha256(Path("trap.py").read_bytes()).hexdigest()
    for config in (Path("run/config.json"), Path("run/model/config.json")):
        document = json.loads(config.read_text())
        document["settings"]["model"]["cell"] = f"trap.py:Fading#{sha256}"
        config.write_text(json.dumps(document))
    assert main(["evaluate", "run", str(data)]) == 2
    assert main(["predict", "run", str(data), "--out", "o.csv"]) == 2
    assert train("classify", data, "--resume") == 2
    assert main(["compare", "run", "run"]) == 0
    with pytest.raises(CellError, match=r"trap\.py:Fading"):
        echoic.load("run")
    with pytest.raises(CellError, match="changed"):
        echoic.load("run", cell=cell)
    assert not Path("sprung").exists()


def test_estimators(cell, tmp_path):
    data = TINY["classify"].write(tmp_path)
    trained = echoic.Classifier(cell=cell, epochs=1, hidden_size=4, seed=1).fit(data, out="run")
    expected = trained.predict(data)
    own._adopted.clear()
    with pytest.raises(CellError, match=r"echoic\.load\(run, cell='fading.py:Fading'\)"):
        echoic.load("run")
    opened = echoic.load("run", cell=cell)
    assert opened.predict(data).equals(expected)
    opened.save("copy")
    kind = own.adopted(opened.get_params()["cell"])
    assert kind is not None
    assert echoic.load("copy", cell=kind).predict(data).equals(expected)
    assert echoic.Classifier(cell=kind, epochs=1, hidden_size=4, seed=1).fit(data).predict(data).equals(expected)
    with pytest.raises(CellError, match="there is no file"):
        echoic.Classifier(cell="none.py:Fading")


def test_a_cell_is_named_for_a_run_that_has_none(cell, tmp_path, capsys):
    data = TINY["classify"].write(tmp_path)
    assert train("classify", data, "--cell", "gru") == 0
    assert main(["evaluate", "run", str(data), "--cell", cell]) == 2
    assert "the model's cell is GRU" in capsys.readouterr().err
    assert main(["evaluate", "run", str(data), "--cell", "GRU"]) == 0


def test_the_verb_cells(cell, capsys):
    assert main(["cells", cell, "--input-size", "3", "--hidden-size", "5", "--json"]) == 0
    (described,) = json.loads(capsys.readouterr().out)["cells"]
    assert described["name"].startswith("Fading (fading.py, SHA-256 ")
    assert described["parameters"] == 5 * 3 + 5 * 5 + 5 + 5
    assert described["options"] == ["fade"]
    assert "self.fade * state.hidden" in described["equations"]  # it gives none: its code is shown
    assert described["runs_on"].startswith(("native", "reference"))
    Path("noisy.py").write_text(FADING.replace("hidden = ", "hidden = torch.randn_like(projected) + "))
    assert main(["cells", "noisy.py:Fading"]) == 0
    assert "runs on reference (" in capsys.readouterr().out
    assert main(["cells", "LSTM", "--json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)["cells"]] == ["LSTM"]
    assert main(["cells", "fading.py:Fade"]) == 2
    assert main(["cells", "LTSM"]) == 2
    assert "Did you mean LSTM" in capsys.readouterr().err
