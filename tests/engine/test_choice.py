"""Which backend runs what, and what is said about it."""

from __future__ import annotations

import re

import pytest
import torch

from echoic.cells import GRU, Cell, build_cell
from echoic.engine import BACKENDS, choice, describe_backends, unroll
from echoic.errors import BackendError, OptionError
from echoic.layers import Recurrent
from echoic.notices import collected

ON_TORCH = [
    ("Elman", {}),
    ("Elman", {"nonlinearity": "relu"}),
    ("LSTM", {}),
    ("LSTM", {"projection_size": 2}),
    ("LSTM", {"forget_bias": 0.0}),
    ("GRU", {}),
]
NOT_ON_TORCH = [
    ("Elman", {"nonlinearity": "sigmoid"}, "torch's Elman kernel has no nonlinearity 'sigmoid'"),
    ("Jordan", {}, "torch has no kernel for Jordan"),
    ("LSTM", {"peephole": True}, "peepholes"),
    ("LSTM", {"coupled": True}, "coupled gates"),
    ("LSTM", {"layer_norm": True}, "layer normalisation"),
    ("GRU", {"reset_after": False}, "reset before the matmul"),
]


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "_said", set())


@pytest.fixture
def without_native(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the extension is not built."""
    monkeypatch.setattr(choice, "BACKENDS", tuple(b for b in BACKENDS if b.name != "native"))


def run(cell: Cell, backend: str, memory: str = "store", **options: torch.Tensor) -> list[str]:
    """What is said while a cell runs."""
    with collected() as said:
        unroll(cell, torch.randn(2, 6, cell.input_size), options=(backend, memory), **options)
    return said


def test_backends_describe_themselves() -> None:
    assert [backend.name for backend in BACKENDS][-1] == "reference"
    assert set(describe_backends()) == {backend.name for backend in BACKENDS}
    assert all(describe_backends().values())


@pytest.mark.parametrize(("name", "options"), [*ON_TORCH, *((name, options) for name, options, _ in NOT_ON_TORCH)])
def test_auto_takes_the_native_engine(name: str, options: dict) -> None:
    cell = build_cell(name, 3, 5, **options)
    assert Recurrent(cell).explain().startswith(f"layer 0: {name} on native: ")
    assert run(cell, "auto", lengths=torch.tensor([6, 2])) == []


def test_native_says_what_it_does() -> None:
    text = Recurrent(build_cell("LSTM", 3, 5), backend="native").explain()
    assert "on native, as asked: " in text
    assert "a step forward: 1 matmul, 8 pointwise operations" in text
    assert "for many steps at once: 2 matmuls, 2 gradients of parameters" in text
    assert "400 bytes of recurrent weights" in text  # 5 x 20 float32
    assert "140 bytes a row and step are kept" in text  # i f g o tanh(c), c and h, each 5 float32


def test_native_refuses_with_a_reason() -> None:
    cell = build_cell("GRU", 3, 5)
    with pytest.raises(BackendError, match="parameters have another type"):
        unroll(cell, torch.randn(2, 6, 3).double(), options=("native", "store"))
    with pytest.raises(BackendError, match="float32 and float64 alone"):
        unroll(cell, torch.randn(2, 6, 3).bfloat16(), options=("native", "store"))


@pytest.mark.usefixtures("without_native")
@pytest.mark.parametrize(("name", "options"), ON_TORCH)
def test_auto_takes_torchs_kernel_where_it_is_exactly_the_cell(name: str, options: dict) -> None:
    cell = build_cell(name, 3, 5, **options)
    assert Recurrent(cell).explain() == f"layer 0: {name} on torch"
    assert run(cell, "auto", lengths=torch.tensor([6, 2])) == []
    run(cell, "torch")


@pytest.mark.usefixtures("without_native")
@pytest.mark.parametrize(("name", "options", "reason"), NOT_ON_TORCH)
def test_a_refusal_has_a_reason_and_is_said_once(name: str, options: dict, reason: str) -> None:
    cell = build_cell(name, 3, 5, **options)
    assert re.search(reason, Recurrent(cell).explain())
    assert "on reference (" in Recurrent(cell).explain()
    (said,) = run(cell, "auto")
    assert reason in said
    assert run(cell, "auto") == []
    assert run(cell, "reference") == []
    with pytest.raises(BackendError, match=reason):
        run(cell, "torch")
    with pytest.raises(BackendError, match=reason):
        Recurrent(cell, backend="torch").explain()


@pytest.mark.usefixtures("without_native")
@pytest.mark.parametrize("memory", ["recompute", "checkpoint"])
def test_torch_keeps_all_gates(memory: str) -> None:
    cell = build_cell("LSTM", 3, 5)
    assert f"memory='{memory}' needs another backend" in Recurrent(cell, memory=memory).explain()
    (said,) = run(cell, "auto", memory)
    assert "keep all gates" in said
    with pytest.raises(BackendError, match="keep all gates"):
        run(cell, "torch", memory)


@pytest.mark.usefixtures("without_native")
def test_torch_cannot_reset() -> None:
    reset = torch.zeros(2, 6, dtype=torch.bool)
    (said,) = run(build_cell("GRU", 3, 5), "auto", reset=reset)
    assert "cannot clear the state" in said
    with pytest.raises(BackendError, match="cannot clear the state"):
        run(build_cell("GRU", 3, 5), "torch", reset=reset)


@pytest.mark.usefixtures("without_native")
def test_a_subclass_with_equations_of_its_own_is_another_cell() -> None:
    for part in ("project", "recurrent", "update"):
        own = type("Own", (GRU,), {part: lambda self, *given, part=part: getattr(super(GRU, self), part)(*given)})
        assert "torch has no kernel for Own" in Recurrent(own(3, 5)).explain()
    assert "on torch" in Recurrent(type("Renamed", (GRU,), {})(3, 5)).explain()


def test_names_that_do_not_exist() -> None:
    with pytest.raises(BackendError, match="expected one of auto, native, torch, scan, reference"):
        Recurrent(build_cell("GRU", 3, 5), backend="cuda")
    with pytest.raises(BackendError, match='found "Torch"'):
        run(build_cell("GRU", 3, 5), "Torch")
    with pytest.raises(OptionError, match="expected one of store, recompute, checkpoint"):
        run(build_cell("GRU", 3, 5), "auto", "none")
    with pytest.raises(OptionError, match="expected one of store, recompute, checkpoint"):
        Recurrent(build_cell("GRU", 3, 5), memory="save")
