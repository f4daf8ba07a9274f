"""Whatever a step is made of, the native engine trains it as the reference does."""

from __future__ import annotations

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.engine.random_cells import INPUTS, KINDS, OUTPUTS, RandomCell, Recipe, State, recipes
from tests.tolerances import TOLERANCES, assert_same
from torch import Tensor

from echoic.cells import Cell
from echoic.engine import unroll


def trained(
    cell: Cell, inputs: Tensor, state: State, lengths: Tensor | None, how: tuple[str, str]
) -> dict[str, Tensor]:
    """Outputs, last state and gradients of a call, zeros where something is not used."""
    outputs, end = unroll(cell, inputs, state, lengths=lengths, options=how)
    parts = {"outputs": outputs, **end._asdict()}
    loss = sum(((part + 1).square() * torch.arange(1, part.shape[-1] + 1)).sum() for part in parts.values())
    wanted = {"inputs": inputs, **dict(cell.named_parameters())}
    gradients = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)  # type: ignore[arg-type]
    pairs = zip(wanted.items(), gradients, strict=True)
    found = {f"of {name}": torch.zeros_like(to) if g is None else g for (name, to), g in pairs}
    return {**{name: part.detach() for name, part in parts.items()}, **found}


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(recipes(), st.sampled_from(["store", "recompute", "checkpoint"]), st.booleans())
def test_random_cells(recipe: Recipe, memory: str, ragged: bool) -> None:
    torch.manual_seed(0)
    cell = RandomCell(recipe).double()
    inputs = torch.randn(3, 6, INPUTS, dtype=torch.float64, requires_grad=True)
    state = State(*(torch.randn(3, width, dtype=torch.float64) for width in recipe.widths[1:]))
    lengths = torch.tensor([4, 6, 5]) if ragged else None
    expected = trained(cell, inputs, state, lengths, ("reference", "store"))
    assert_same(trained(cell, inputs, state, lengths, ("native", memory)), expected, TOLERANCES[torch.float64])
    assert expected["outputs"].shape == (3, 6, OUTPUTS)


def test_every_kind_is_drawn() -> None:
    """The random cells above cover what there is."""
    seen: set[str] = set()

    @settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
    @given(recipes())
    def collect(recipe: Recipe) -> None:
        seen.update(operation.kind for operation in recipe.operations)

    collect()
    assert seen == set(KINDS)
