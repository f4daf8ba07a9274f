"""The command line's frame: help, version, exit codes, where words go."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from echoic import __version__
from echoic.cli import main as frame
from echoic.cli.main import VERBS, main


def test_help_names_every_verb(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    assert all(verb in printed for verb in VERBS)


def test_no_arguments_is_an_error_with_the_usage(capsys):
    assert main([]) == 2
    assert "usage" in capsys.readouterr().out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb, capsys):
    assert main([verb, "--help"]) == 0
    assert "--" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["trian", "TRAIN"])
def test_an_unknown_verb_gets_a_hint(verb, capsys):
    assert main([verb]) == 2
    captured = capsys.readouterr()
    assert '"train"' in captured.err
    assert captured.out == ""


def test_an_unknown_option_exits_with_2(capsys):
    assert main(["cells", "--hiden-size", "3"]) == 2
    message = capsys.readouterr().err
    assert "--hidden-size" in message
    assert "echoic cells --help" in message


@pytest.mark.parametrize("given", [["cells", "--hiden-size", "3"], ["evaluate"], ["train", "foecast"]])
def test_wrong_usage_in_json(given, capsys):
    assert main([*given, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["exit_code"] == 2


def test_a_reader_who_has_gone_is_no_error():
    command = f"{sys.executable} -m echoic.cli.main cells | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_told():
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "echoic.cli.main", "doctor"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert b"No space left" in done.stderr


def test_stopping_by_the_keyboard_exits_with_130(capsys, monkeypatch):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("echoic.cli.doctor.versions", stopped)
    assert main(["doctor"]) == 130
    assert "stopped" in capsys.readouterr().err


def test_errors_in_json(capsys):
    assert main(["evaluate", "/nonexistent/run", "/nonexistent/data", "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == 2
    assert "/nonexistent/run" in document["error"]


def test_a_fault_of_ours_exits_with_1_and_shows_where(capsys, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("deep inside")

    monkeypatch.setattr(frame, "_run", broken)
    assert main(["cells"]) == 1
    message = capsys.readouterr().err
    assert "Traceback" in message
    assert "deep inside" in message


def test_debug_shows_the_traceback_of_a_user_error(capsys):
    assert main(["evaluate", "/nonexistent/run", "/nonexistent/data", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["cells", "doctor"])
def test_json_of_the_verbs_without_a_run(verb, capsys):
    assert main([verb, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)


def test_help_loads_no_framework():
    program = "import sys; from echoic.cli.main import main; main(['--help']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0


def test_what_only_a_training_needs_is_not_loaded_before():
    program = "import sys; import echoic.cli.train, echoic.cli.predict; sys.exit('sklearn' in sys.modules or "
    program += "'lightning_fabric' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0
