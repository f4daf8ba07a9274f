"""A run directory never destroys what is not its own, and says what is wrong with one that is damaged."""

from __future__ import annotations

import pytest

from echoic.errors import OptionError, RunError
from echoic.runs import RunDirectory


def make_run(path):
    run = RunDirectory(path)
    run.create()
    run.write_config({"task": "forecast"})
    return run


def test_an_existing_run_needs_overwrite(tmp_path):
    run = make_run(tmp_path / "run")
    run.write_metrics({"test": {}})
    with pytest.raises(OptionError, match="--overwrite"):
        run.create()
    run.create(overwrite=True)
    assert list(run.path.iterdir()) == []


def test_a_folder_of_other_files_is_left_alone_even_with_overwrite(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OptionError, match="left alone"):
        RunDirectory(tmp_path).create(overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_overwrite_keeps_files_that_are_not_of_the_run(tmp_path):
    run = make_run(tmp_path / "run")
    (run.path / "notes.txt").write_text("mine")
    run.create(overwrite=True)
    assert [p.name for p in run.path.iterdir()] == ["notes.txt"]


def test_out_that_is_a_file(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(OptionError, match="this is a file"):
        RunDirectory(tmp_path / "run").create()
    with pytest.raises(OptionError, match="cannot be written"):
        RunDirectory(tmp_path / "run" / "deeper").create()


def test_a_second_training_into_the_same_folder_is_refused_while_the_first_runs(tmp_path):
    pytest.importorskip("fcntl")
    run = RunDirectory(tmp_path / "run")
    with run.claimed():
        with pytest.raises(OptionError, match="another training is writing"), RunDirectory(tmp_path / "run").claimed():
            pass
        run.create()
    with RunDirectory(tmp_path / "run").claimed():
        pass


def test_open_names_what_is_missing(tmp_path):
    with pytest.raises(RunError, match="no such folder"):
        RunDirectory(tmp_path / "nowhere").open()
    with pytest.raises(RunError, match=r"config\.json"):
        RunDirectory(tmp_path).open()
    run = make_run(tmp_path / "run")
    with pytest.raises(RunError, match=r"metrics\.json"):
        run.open().metrics()


def test_another_format_is_refused(tmp_path):
    run = make_run(tmp_path / "run")
    (run.path / "config.json").write_text('{"format": 99}')
    with pytest.raises(RunError, match="found format 99"):
        run.open()
    (run.path / "config.json").write_text("[]")
    with pytest.raises(RunError, match="JSON object"):
        run.open()
