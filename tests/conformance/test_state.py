"""States and weights as others hold them: which part is which, and what a file brings back."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tests.conformance.cases import CASES, Case, make_problem, solve
from tests.conformance.checks import reference
from tests.tolerances import EXACT, assert_same, differ

from echoic.cells import Cell
from echoic.layers import Recurrent


@pytest.mark.parametrize("case", CASES, ids=str)
def test_states_cannot_be_mistaken(case: Case) -> None:
    """Other rows' states, or a state's parts exchanged, change the outputs: so a test with random states sees it."""
    problem = make_problem(case, 3, 5)
    right = solve(problem, reference)
    mistaken = [type(problem.state)(*(part.roll(1, 0) for part in problem.state))]
    for (i, a), (j, b) in combinations(enumerate(problem.state), 2):
        if a.shape == b.shape:
            exchanged = list(problem.state)
            exchanged[i], exchanged[j] = b, a
            mistaken.append(type(problem.state)(*exchanged))
    for state in mistaken:
        assert differ(solve(problem._replace(state=state), reference), right, "outputs")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_first_field_is_the_hidden_state(case: Case) -> None:
    """``final_hidden`` and ``record_states`` rely on it."""
    problem = make_problem(case, 3, 5)
    output, state = problem.cell.step(problem.inputs[:, 0], problem.state)
    assert output.shape == state[0].shape == (3, problem.cell.output_size)
    assert torch.equal(output, state[0])


STACKED = 9  # hidden size of stacks: as inputs, both directions' outputs fit every cell


def stack(case: Case, seed: int) -> Recurrent:
    """Two layers in both directions, in float64, whose every parameter is random."""
    lower = [case.build(3, STACKED, seed), case.build(3, STACKED, seed + 1)]
    width = 2 * lower[0].output_size
    above = Case("GRU", {}) if lower[0].input_layout else case
    cells = [*lower, above.build(width, STACKED, seed + 2), above.build(width, STACKED, seed + 3)]
    layer = Recurrent(cells, bidirectional=True, layer_norm=True, learn_initial_state=True).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if not name.startswith("cells"):
                parameter.normal_(generator=generator)
    return layer


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_file_brings_everything_back(case: Case, tmp_path: Path) -> None:
    saved, loaded = stack(case, 1), stack(case, 11)
    inputs, lengths = torch.randn(3, 5, saved.input_size, dtype=torch.float64), torch.tensor([5, 0, 2])

    def results(layer: Recurrent) -> dict[str, torch.Tensor]:
        outputs, state = layer(inputs, lengths=lengths)
        return {"outputs": outputs} | {f"{i}": part for i, one in enumerate(state) for part in one}

    assert differ(results(loaded), results(saved), "outputs")
    save_file(saved.state_dict(), tmp_path / "weights.safetensors")
    loaded.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert_same(results(loaded), results(saved), EXACT)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_parameter_matters(case: Case) -> None:
    """What training could not move does not belong to a cell; blocks that an option leaves out are the exception."""
    problem = make_problem(case, 5, 9)
    found = solve(problem, reference)
    for name, _ in problem.cell.named_parameters():
        assert found[f"gradient of {name}"].abs().max() > 1e-6, name


@pytest.mark.parametrize("case", CASES, ids=str)
def test_random_numbers_of_one_seed_are_the_same_cell(case: Case) -> None:
    cells: list[Cell] = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        like = case.build()
        cells.append(type(like)(like.input_size, like.hidden_size, **case.options))
    first, same, other = (cell.state_dict() for cell in cells)
    assert_same(same, first, EXACT)
    assert not torch.equal(other["weight_ih"], first["weight_ih"])
