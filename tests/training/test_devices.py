"""Devices and precisions: what is there is used, what is not there is said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from echoic import notices
from echoic.errors import OptionError
from echoic.training.devices import make_fabric


@pytest.fixture(autouse=True)
def precision_as_before() -> Iterator[None]:
    yield
    torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("has", [True, False])
def test_high_precision_is_that_of_matmuls(monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    monkeypatch.setattr("echoic.training.devices.has_bfloat16", lambda: has)
    with notices.collected() as said:
        fabric = make_fabric("cpu", "high")
    assert fabric._precision.precision == "32-true"
    assert torch.get_float32_matmul_precision() == "high"
    assert any("--precision high" in text for text in said) is not has
    make_fabric("cpu", "float32")
    assert torch.get_float32_matmul_precision() == "highest"


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(OptionError, match='found "tpu", expected cpu, cuda or auto'):
        make_fabric("tpu", "float32")


def test_a_precision_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX2")
    with pytest.raises(OptionError, match="no bf16 arithmetic"):
        make_fabric("cpu", "bf16")
