"""The native engine as a backend: threads, instruction sets, what it refuses, what it leaves alone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from tests.conformance.cases import CASES, Case, make_problem, solve
from tests.engine.native_runner import run
from tests.tolerances import TOLERANCES, assert_same
from torch import Tensor

from echoic import _native
from echoic.cells import GRU, LSTM, Cell, IndRNN, LSTMState, observed
from echoic.engine import execute, unroll
from echoic.engine.call import Call
from echoic.engine.native import Native
from echoic.engine.record import record_states

LENGTHS = torch.tensor([40, 3, 0, 17, 40, 29, 1])


@pytest.fixture
def threads() -> Iterator[None]:
    """The number of threads may be changed, and work is never too little for several."""
    before, worth = torch.get_num_threads(), execute._WORTH_A_THREAD
    execute._WORTH_A_THREAD = 1
    yield
    torch.set_num_threads(before)
    execute._WORTH_A_THREAD = worth


def everything(
    cell: Cell,
    inputs: Tensor,
    lengths: Tensor | None = None,
    reset: Tensor | None = None,
    memory: str = "store",
) -> list[Tensor]:
    """Outputs, last states and all gradients by the native engine."""
    inputs = inputs.clone().requires_grad_()
    outputs, end = unroll(cell, inputs, lengths=lengths, reset=reset, options=("native", memory))
    leaves = [inputs, *cell.parameters()]
    grads = torch.autograd.grad(outputs.square().sum() + sum(part.sum() for part in end), leaves)
    return [outputs.detach(), *(part.detach() for part in end), *grads]


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_bits_do_not_depend_on_the_number_of_threads(kind: type[Cell], padded: bool) -> None:
    torch.manual_seed(1)
    cell, inputs = kind(5, 33), torch.randn(7, 40, 5)
    lengths, reset = (LENGTHS, torch.rand(7, 40) < 0.1) if padded else (None, None)
    if reset is not None:
        reset &= torch.arange(40) < LENGTHS.unsqueeze(1)
    torch.set_num_threads(1)
    expected = everything(cell, inputs, lengths, reset)
    for count in (2, 3):
        torch.set_num_threads(count)
        # the sums over all rows after the loop are torch's, whose order may depend on its threads
        loop, sums = slice(0, 2 + len(cell.initial_state(1))), slice(2 + len(cell.initial_state(1)), None)
        found = everything(cell, inputs, lengths, reset)
        for a, b in zip(found[loop], expected[loop], strict=True):
            assert torch.equal(a, b)
        for a, b in zip(found[sums], expected[sums], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize(
    "make",
    [lambda: LSTM(5, 171), lambda: GRU(5, 187), lambda: LSTM(5, 173, layer_norm=True)],
    ids=["LSTM", "GRU", "norm"],
)
def test_threads_share_the_columns_of_few_rows(make: Callable[[], Cell], rows: int) -> None:
    torch.manual_seed(3)
    cell, inputs = make(), torch.randn(rows, 12, 5)
    lengths, reset = torch.tensor([12, 7, 3])[:rows], torch.zeros(rows, 12, dtype=torch.bool)
    reset[0, 4] = True
    torch.set_num_threads(1)
    expected = everything(cell, inputs, lengths, reset)
    for count in (2, 3):
        torch.set_num_threads(count)
        loop = slice(0, 2 + len(cell.initial_state(1)))
        for a, b in zip(everything(cell, inputs, lengths, reset)[loop], expected[loop], strict=True):
            assert torch.equal(a, b)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_steps_of_many_rows_and_of_few(kind: type[Cell]) -> None:
    """A batch with a long tail: its weights are packed in two ways, for both kinds of steps."""
    torch.manual_seed(6)
    cell, inputs = kind(5, 33), torch.randn(40, 60, 5)
    lengths = (60 / torch.arange(1, 41).sqrt()).long()
    assert int((lengths > 20).sum()) < 16 <= int((lengths > 8).sum())
    torch.set_num_threads(1)
    expected = everything(cell, inputs, lengths)
    for count in (2, 3):
        torch.set_num_threads(count)
        loop = slice(0, 2 + len(cell.initial_state(1)))
        for a, b in zip(everything(cell, inputs, lengths)[loop], expected[loop], strict=True):
            assert torch.equal(a, b)
    outputs, end = unroll(cell.double(), inputs.double(), lengths=lengths, options=("reference", "store"))
    due = {"outputs": outputs.detach(), "hidden": end[0].detach()}
    assert_same({"outputs": expected[0], "hidden": expected[1]}, due, TOLERANCES[torch.float32])


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("lengths", [None, [40, 23, 40]], ids=["alike", "lengths"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_threads_that_meet_seldom_see_each_others_numbers(case: Case, lengths: list[int] | None) -> None:
    """Sizes whose units threads can share: then they meet before matmuls alone."""
    cell = case.build(5, 192).float()
    rows = 1 if lengths is None else 3
    inputs = torch.randn(rows, 40, cell.input_size, generator=torch.Generator().manual_seed(4))
    given = None if lengths is None else torch.tensor(lengths)
    torch.set_num_threads(1)
    expected = everything(cell, inputs, given)
    for count in (2, 3, 2):
        torch.set_num_threads(count)
        loop = slice(0, 2 + len(cell.initial_state(1)))
        for a, b in zip(everything(cell, inputs, given)[loop], expected[loop], strict=True):
            assert torch.equal(a, b)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("memory", ["recompute", "checkpoint"])
@pytest.mark.parametrize("kind", [LSTM, GRU, IndRNN])
def test_threads_run_steps_again_as_one_does(kind: type[Cell], memory: str) -> None:
    torch.manual_seed(5)
    cell, inputs = kind(5, 192), torch.randn(1, 200, 5)
    torch.set_num_threads(1)
    expected = everything(cell, inputs, memory=memory)
    for count in (2, 3):
        torch.set_num_threads(count)
        loop = slice(0, 2 + len(cell.initial_state(1)))
        for a, b in zip(everything(cell, inputs, memory=memory)[loop], expected[loop], strict=True):
            assert torch.equal(a, b)


@pytest.mark.usefixtures("threads")
def test_calls_from_several_threads() -> None:
    """Each gets its own result, whoever works beside it; compilations too may happen at once."""
    torch.set_num_threads(2)
    torch.manual_seed(2)
    cells = [LSTM(4, 20), GRU(4, 21), LSTM(4, 22, peephole=True), LSTM(4, 20)]
    inputs = [torch.randn(6, 15, 4) for _ in cells]
    with ThreadPoolExecutor(4) as pool:
        first = list(pool.map(everything, cells, inputs))
        for _ in range(5):
            for found, expected in zip(pool.map(everything, cells, inputs), first, strict=True):
                for a, b in zip(found[:2], expected[:2], strict=True):
                    assert torch.equal(a, b)
    for found, cell, x in zip(first, cells, inputs, strict=True):
        expected, _ = unroll(cell, x, options=("reference", "store"))
        torch.testing.assert_close(found[0], expected.detach(), rtol=5e-4, atol=5e-5)


def test_python_goes_on_meanwhile() -> None:
    """While the engine works for a while without Python, another thread counts."""
    plan = _native.Plan([2, 2, 256, 256, 0, 1, 256, 256, 0, 0, 1, 2, 1, 0, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, -1], [], True)
    rows = 2000
    memory = [np.ones((rows, 256)), np.ones((rows, 256))]
    matrix = np.ones((256, 256))
    steps = np.zeros(100, np.int64), np.full(100, rows, np.int64)
    counted, done = [0, 0], threading.Event()

    def count() -> None:
        while not done.is_set():
            counted[0] += 1
            time.sleep(0)

    counter = threading.Thread(target=count)
    counter.start()
    before = counted[0]
    run(
        plan, (len(steps[0]), rows, rows), (steps[0].ctypes.data, steps[1].ctypes.data, 0), False, 1,
        [(0, 0, m.ctypes.data, 256) for m in memory], [], [], [], [(matrix.ctypes.data, 256, 1, 0)],
    )  # fmt: skip
    counted[1] = counted[0] - before
    done.set()
    counter.join()
    assert (memory[1] == 256).all()
    assert counted[1] > 100


@pytest.mark.parametrize("name", _native.instruction_sets())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_every_instruction_set_solves_every_kind_of_step(name: str, dtype: torch.dtype) -> None:
    _native.choose_instruction_set(name)
    try:
        for case in (Case("LSTM", {"layer_norm": True}), Case("GRU", {}), Case("SLSTM", {}), Case("MinLSTM", {})):
            problem = make_problem(case, 4, 9, hidden_size=17)
            expected = solve(problem, lambda *given, **o: unroll(*given, options=("reference", "store"), **o))
            found = solve(problem.to(dtype), lambda *given, **o: unroll(*given, options=("native", "store"), **o))
            assert_same(found, expected, TOLERANCES[dtype])
    finally:
        _native.choose_instruction_set("")


@pytest.mark.parametrize(("asked", "expected"), [("scalar", "scalar"), ("nonsense", None), ("", None)])
def test_the_environment_chooses_the_instruction_set(asked: str, expected: str | None) -> None:
    code = "from echoic import _native; print(_native.instruction_set())"
    environment = {**os.environ, "ECHOIC_ISA": asked}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (expected or _native.instruction_sets()[0])


def call(inputs: Tensor, cell: Cell) -> Call:
    start = cell.initial_state(inputs.shape[1])
    return Call(inputs, start, start)


def test_what_it_refuses_and_why() -> None:
    cell, native = LSTM(3, 4), Native()
    good = call(torch.randn(5, 2, 3), cell)
    assert native.refusal(cell, good) is None
    elsewhere = good._replace(inputs=torch.empty(5, 2, 3, device="meta"))
    assert "on CPUs, not on meta" in str(native.refusal(cell, elsewhere))
    assert "float32 and float64" in str(native.refusal(cell, good._replace(inputs=good.inputs.half())))
    assert "another type" in str(native.refusal(cell, good._replace(inputs=good.inputs.double())))
    with torch.autocast("cpu", torch.bfloat16):
        assert native.refusal(cell, good) is None
        assert "float32 and float64" in str(native.refusal(cell, good._replace(inputs=good.inputs.half())))
    with observed():
        assert "observed" in str(native.refusal(cell, good))
    with record_states():
        assert "observed" in str(native.refusal(cell, good))
    assert native.refusal(cell, good) is None


def test_inputs_of_any_strides() -> None:
    """Transposed, sliced, expanded and shared memory, and nothing that was given is written to."""
    torch.manual_seed(4)
    cell = LSTM(3, 4)
    wide = torch.randn(5, 6, 2)
    given = {
        "time first": torch.randn(6, 2, 3).transpose(0, 1),
        "sliced": torch.randn(4, 6, 6)[::2, :, 1::2],
        "expanded": torch.randn(1, 6, 3).expand(2, -1, -1),
        "features first": wide.permute(2, 1, 0)[:, :, :3],
    }
    shared = torch.randn(2, 4)
    state = LSTMState(shared, shared)
    kept = {name: x.clone() for name, x in given.items()}, shared.clone()
    for name, x in given.items():
        outputs = [unroll(cell, x, state, options=(b, "store"))[0].detach() for b in ("native", "reference")]
        torch.testing.assert_close(*outputs, msg=name)
        assert torch.equal(x, kept[0][name])
    assert torch.equal(shared, kept[1])


def test_gradients_arrive_only_where_they_are_wanted() -> None:
    torch.manual_seed(5)
    for frozen in (["weight_hh"], ["weight_ih", "bias_ih"], ["weight_hh", "bias_hh", "weight_ih", "bias_ih"]):
        found = []
        for backend in ("native", "reference"):
            torch.manual_seed(6)
            cell, inputs = LSTM(3, 4), torch.randn(2, 5, 3, requires_grad=True)
            for name in frozen:
                cell.get_parameter(name).requires_grad_(False)
            unroll(cell, inputs, options=(backend, "store"))[0].square().sum().backward()
            grads = {name: p.grad for name, p in cell.named_parameters()}
            assert [name for name, grad in grads.items() if grad is None] == [n for n in grads if n in frozen]
            assert inputs.grad is not None
            found.append({"inputs": inputs.grad, **{n: g for n, g in grads.items() if g is not None}})
        assert_same(found[0], found[1], TOLERANCES[torch.float32])
