"""What ``echoic train`` refuses leaves nothing behind."""

from __future__ import annotations

import pytest
from tests.tiny import TINY

from echoic.cli.main import main


@pytest.mark.parametrize("options", [("--device", "tpu"), ("--learning-rate", "0"), ("--cell", "Gru2")])
def test_an_option_that_cannot_be_leaves_no_run(options, tmp_path, capsys):
    data = TINY["classify"].write(tmp_path)
    assert main(["train", "classify", str(data), "--out", str(tmp_path / "run"), *options]) == 2
    assert options[1] in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
