"""Cutting pairs: what is equal stays together, no part is empty that need not be."""

import numpy as np
import polars as pl
import pytest

from echoic.data.pair_checks import pair_parts
from echoic.data.pairs import Pairs


def pairs_of(sources: list[str], targets: list[str]) -> Pairs:
    rows = list(range(1, len(sources) + 1))
    return Pairs("x", sources, list(targets), rows, pl.DataFrame({"row": rows}))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("together", [("sources", "targets"), ("sources",)])
def test_equal_texts_stay_together(seed, together):
    random = np.random.default_rng(seed)
    pairs = pairs_of([f"s{i}" for i in random.integers(0, 300, 200)], [f"T {i}" for i in random.integers(0, 300, 200)])
    parts = pair_parts(pairs, [0.1, 0.15], seed, together)
    assert sorted(row for part in parts for row in part.rows) == pairs.rows
    assert 0 < len(parts[1]) <= 20
    assert 0 < len(parts[2]) <= 30
    for side in together:
        for one, other in ((0, 1), (0, 2), (1, 2)):
            assert set(getattr(parts[one], side)).isdisjoint(getattr(parts[other], side))


def test_few_targets_shared_by_all():
    """Groups larger than a part is to be: the smallest is taken rather than none, and a share of 0 stays empty."""
    sources, targets = [f"s{i}" for i in range(60)], [f"t{i % 4 if i % 7 else i % 2}" for i in range(60)]
    train, validation, test = pair_parts(pairs_of(sources, targets), [0.05, 0.0], 1)
    assert len(validation) > 0
    assert len(train) > len(validation)
    assert len(test) == 0
    apart = pair_parts(pairs_of(sources, targets), [0.05, 0.1], 1, ("sources",))
    assert [len(part) for part in apart] == [51, 3, 6]


def test_all_hang_together():
    parts = pair_parts(pairs_of(["a"] * 9, ["b"] * 9), [0.2], 0)
    assert [len(part) for part in parts] == [9, 0]
