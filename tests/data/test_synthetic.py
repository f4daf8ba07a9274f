"""The adding and copy problems hold what they promise."""

from __future__ import annotations

import pytest
import torch

from echoic.data.synthetic import ADDING_BASELINE, BLANK, GO, AddingBatches, adding_problem, copy_problem


@pytest.mark.parametrize("steps", [2, 7, 50])
def test_adding_target_is_the_sum_of_the_marked(steps: int) -> None:
    example = adding_problem(200, steps, torch.Generator().manual_seed(3))
    numbers, marks = example.inputs.unbind(dim=2)
    assert torch.equal(marks[:, : steps // 2].sum(dim=1), torch.ones(200))
    assert torch.equal(marks[:, steps // 2 :].sum(dim=1), torch.ones(200))
    torch.testing.assert_close((numbers * marks).sum(dim=1), example.targets)


def test_adding_baseline() -> None:
    targets = adding_problem(100_000, 2, torch.Generator().manual_seed(3)).targets
    assert (targets - 1).square().mean().item() == pytest.approx(ADDING_BASELINE, rel=0.02)


def test_copy_repeats_the_symbols_after_the_sign() -> None:
    inputs, targets = copy_problem(5, delay=6, generator=torch.Generator().manual_seed(3), length=4)
    assert inputs.shape == targets.shape == (5, 14)
    for row in range(5):
        symbols = inputs[row, :4]
        assert symbols.max() < BLANK
        assert inputs[row, 4:].tolist() == [BLANK] * 5 + [GO] + [BLANK] * 4
        assert targets[row].tolist() == [BLANK] * 10 + symbols.tolist()
    assert not torch.equal(inputs[0], inputs[1])


def test_batches_are_fixed_by_seed_epoch_and_number() -> None:
    batches = AddingBatches(count=3, batch_size=4, steps=5, seed=1)
    first, second = list(batches.epoch(0)), list(batches.epoch(1))
    assert len(first) == len(batches) == 3
    seen = [example.inputs for example in (*first, *second)]
    assert all(not torch.equal(a, b) for i, a in enumerate(seen) for b in seen[:i])
    assert torch.equal(next(batches.epoch(1, start=2)).inputs, second[2].inputs)
    fixed = AddingBatches(count=3, batch_size=4, steps=5, seed=1, fixed=True)
    assert torch.equal(next(fixed.epoch(0)).inputs, next(fixed.epoch(7)).inputs)
