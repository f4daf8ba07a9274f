"""The native engine inside PyTorch: operators, memory modes, second gradients, function transforms, compilation."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from tests.conformance.cases import CASES, Case, make_problem, solve
from tests.tolerances import TOLERANCES, assert_same
from torch import Tensor

from echoic.cells import GRU, LSTM, Cell, Elman
from echoic.engine import operators, unroll
from echoic.engine.compiled import Compiled, compiled, effective_tensors
from echoic.layers import Recurrent

FEW = [case for case in CASES if str(case) in ("LSTM", "GRU-reset_after=False", "LSTM-layer_norm=True", "Clockwork")]


def runner(backend: str, memory: str = "store"):
    def run(cell: Cell, inputs: Tensor, state: Any, **options: Any) -> tuple[Tensor, Any]:
        return unroll(cell, inputs, state, options=(backend, memory), **options)

    return run


@pytest.mark.parametrize("memory", ["recompute", "checkpoint"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_memory_mode_gives_the_same_gradients(case: Case, memory: str) -> None:
    problem = make_problem(case, 4, 11)
    reset = torch.zeros(4, 11, dtype=torch.bool)
    reset[0, [2, 3, 9]] = reset[1, 6] = reset[2, 0] = True
    for reverse in (False, True):
        options = {"lengths": torch.tensor([11, 7, 1, 0]), "reset": reset, "reverse": reverse}
        found = solve(problem, runner("native", memory), **options)
        assert_same(found, solve(problem, runner("reference"), **options), TOLERANCES[torch.float64])


@pytest.mark.parametrize("case", FEW, ids=str)
def test_gradients_of_gradients(case: Case) -> None:
    problem = make_problem(case, 3, 4, input_size=2, hidden_size=4)
    lengths = torch.tensor([4, 0, 2])
    weights = list(problem.cell.parameters())

    def function(inputs: Tensor, *state: Tensor) -> Tensor:
        outputs, _ = runner("native")(problem.cell, inputs, type(problem.state)(*state), lengths=lengths)
        return outputs

    leaves = [problem.inputs.requires_grad_(), *(part.requires_grad_() for part in problem.state)]
    assert torch.autograd.gradgradcheck(function, leaves)
    found = []
    for backend in ("native", "reference"):
        outputs, _ = runner(backend)(problem.cell, problem.inputs, problem.state, lengths=lengths)
        first = torch.autograd.grad(outputs.square().sum(), [problem.inputs, *weights], create_graph=True,
                                    allow_unused=True)  # fmt: skip
        penalty = sum(g.square().sum() for g in first if g is not None)
        second = torch.autograd.grad(penalty, weights, allow_unused=True)
        found.append({str(i): torch.zeros(1) if g is None else g for i, g in enumerate(second)})
    assert_same(found[0], found[1], TOLERANCES[torch.float64])


class Sorting(Elman):
    """Elman's step on the features in their order, which no program can find."""

    def project(self, inputs: Tensor) -> Tensor:
        return super().project(inputs.sort(-1).values)


class Walk(Elman):
    """Whose gradients of state, input and bias are one value."""

    def project(self, inputs: Tensor) -> Tensor:
        return inputs + self.bias_ih

    def update(self, projected: Tensor, state: Any) -> tuple[Tensor, Any]:
        hidden = state.hidden + projected
        return hidden, type(state)(hidden)


@pytest.mark.parametrize("memory", ["store", "recompute", "checkpoint"])
@pytest.mark.parametrize("kind", [Sorting, Walk])
def test_cells_whose_inputs_are_no_matter_of_a_matmul(kind: type[Elman], memory: str) -> None:
    torch.manual_seed(0)
    cell = kind(5, 5).double()
    step = compiled(cell)
    assert isinstance(step, Compiled)
    assert ("sort" in str(step.recording.apart)) == (kind is Sorting)
    assert ("projected by PyTorch" in Recurrent(cell, backend="native").explain()) == (kind is Sorting)
    inputs = torch.randn(3, 7, 5, dtype=torch.float64, requires_grad=True)
    weights = [p for p in cell.parameters() if kind is Sorting or p is cell.bias_ih]
    found = []
    for run in (runner("native", memory), runner("reference")):
        outputs, state = run(cell, inputs, None, lengths=torch.tensor([7, 2, 5]), reverse=True)
        loss = outputs.square().sum() + state.hidden.exp().sum()
        first = torch.autograd.grad(loss, [inputs, *weights], create_graph=True)
        second = torch.autograd.grad(sum(g.square().sum() for g in first), [inputs, *weights])
        found.append({str(i): g.detach() for i, g in enumerate([outputs, *first, *second])})
    assert_same(found[0], found[1], TOLERANCES[torch.float64])


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # of torch's own hessian
def test_function_transforms() -> None:
    """vmap over batches, and gradients of each sample."""
    cell = GRU(3, 5).double()
    inputs = torch.randn(4, 2, 6, 3, dtype=torch.float64)

    def last(backend: str, x: Tensor) -> Tensor:
        return runner(backend)(cell, x, None)[0][:, -1].square().sum()

    by_vmap = torch.vmap(torch.func.grad(lambda x: last("native", x)))(inputs)
    by_loop = torch.stack([torch.func.grad(lambda x: last("reference", x))(x) for x in inputs])
    torch.testing.assert_close(by_vmap, by_loop)
    torch.testing.assert_close(last("native", inputs[0]), last("reference", inputs[0]))  # as before the transforms
    found, expected = (torch.func.hessian(lambda x, b=b: last(b, x))(inputs[0]) for b in ("native", "reference"))
    torch.testing.assert_close(found, expected)


def _arguments(cell: Cell, resets: bool = True) -> tuple[Any, ...]:
    step = compiled(cell)
    assert isinstance(step, Compiled)
    batch, active = 3, torch.tensor([3, 3, 2, 1])
    rows = int(active.sum())
    states = [torch.randn(batch, w, dtype=torch.float64, requires_grad=True) for w in step.widths]
    fresh = [torch.randn(batch, w, dtype=torch.float64, requires_grad=True) for w in step.widths] if resets else []
    cleared = torch.tensor([0, 1, 0] * rows, dtype=torch.uint8)[:rows] if resets else None
    inputs = torch.randn(rows, step.input_width, dtype=torch.float64, requires_grad=True)
    weights = [w.detach().requires_grad_() for w in effective_tensors(cell, step.recording.parameters)]
    return inputs, states, fresh, weights, active.cumsum(0) - active, active, cleared, step.key


@pytest.mark.parametrize("keep", ["nothing", "gates", "states"])
@pytest.mark.parametrize("resets", [False, True])
def test_the_operators_keep_their_promises(keep: str, resets: bool) -> None:
    """Fake implementations agree with the real ones; autograd is registered as torch wants it."""
    arguments = _arguments(LSTM(3, 5).double(), resets)
    utilities = ["test_schema", "test_faketensor"]
    if keep != "nothing":
        utilities += ["test_autograd_registration", "test_aot_dispatch_static"]
    torch.library.opcheck(operators.run_operator, (*arguments, keep), test_utils=utilities)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_compilation_without_graph_breaks(bidirectional: bool) -> None:
    layer = Recurrent([LSTM(3, 5), LSTM(3, 5)] if bidirectional else LSTM(3, 5), bidirectional=bidirectional)
    layer.backend = "native"
    inputs = torch.randn(4, 9, 3, requires_grad=True)
    whole = torch.compile(layer, fullgraph=True, backend="aot_eager")
    results = []
    for run in (layer, whole):
        outputs, state = run(inputs)
        grads = torch.autograd.grad(outputs.square().sum() + state[0][1].sum(), [inputs, *layer.parameters()])
        results.append({"outputs": outputs.detach(), **{str(i): g for i, g in enumerate(grads)}})
    assert_same(results[1], results[0], TOLERANCES[torch.float32])


def test_a_layer_that_never_ran_is_compiled_and_again_when_an_option_changes() -> None:
    """Other cells that come and go are no reason to compile again."""
    torch.compiler.reset()  # a function is compiled only so often, whatever layer it is of
    cell, inputs = Elman(3, 5), torch.randn(2, 6, 3)
    layer = Recurrent(cell, backend="native")
    compilations: list[int] = []

    def count(graph: torch.fx.GraphModule, _: list[Tensor]) -> Any:
        compilations.append(len(graph.graph.nodes))
        return graph.forward

    whole = torch.compile(layer, fullgraph=True, backend=count)
    torch.testing.assert_close(whole(inputs)[0], layer(inputs)[0])
    for size in (4, 5, 6):
        Recurrent(GRU(3, size), backend="native")(inputs)
        gc.collect()
        whole(inputs)
    assert len(compilations) == 1
    cell.nonlinearity = "relu"
    torch.testing.assert_close(whole(inputs)[0], layer(inputs)[0])
    assert len(compilations) == 2


def test_export() -> None:
    layer = Recurrent(GRU(3, 5), backend="native").eval()
    inputs = torch.randn(4, 9, 3)
    exported = torch.export.export(layer, (inputs,))
    assert any("echoic.run" in str(node.target) for node in exported.graph.nodes)
    with torch.no_grad():
        torch.testing.assert_close(exported.module()(inputs)[0], layer(inputs)[0])
