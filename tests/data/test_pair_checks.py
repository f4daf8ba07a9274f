"""The pre-flight check of pairs: what it finds, with its rows, and what it leaves alone."""

import numpy as np
import pytest

from echoic.data.pair_checks import check_lengths, check_overlap, pair_parts, unlikely_lengths, usable_pairs
from echoic.data.pairs import read_pairs
from echoic.errors import DataError
from echoic.notices import collected


def _pairs(*pairs):
    return read_pairs(([source for source, _ in pairs], [target for _, target in pairs]))[0]


def test_empty_pairs_are_left_out_and_named():
    with collected() as said:
        left = usable_pairs(_pairs(("a", "x"), ("", "y"), ("c", "  "), ("d", "z")))
    assert (left.sources, left.rows) == (["a", "d"], [1, 4])
    assert "2 pairs with an empty side left out (rows 2, 3)" in said[0]
    with pytest.raises(DataError, match="both sides"):
        usable_pairs(_pairs(("a", ""), ("", "y")))


def test_unlikely_lengths_against_the_usual_ratio():
    usual = [("w" * n, "v" * (2 * n)) for n in range(10, 40)]  # twice as long is usual here
    pairs = _pairs(*usual, ("w" * 50, "v" * 10), ("w" * 10, "v" * 100), ("w", "v" * 12))
    assert unlikely_lengths(pairs).tolist() == [30, 31]
    with collected() as said:
        assert len(check_lengths(pairs, leave_out=False)) == 33
        assert check_lengths(pairs, leave_out=True).rows == [*range(1, 31), 33]
    assert "(rows 31, 32): kept" in said[0]
    assert "left out" in said[1]


def test_what_is_trained_on_and_tested_on_is_named():
    train = _pairs(("Ein Haus", "a house"), ("b", "x"), ("b", "y"))
    with collected() as said:
        check_overlap(train, _pairs(("c", "z"), ("ein  haus", "A house"), ("b", "z")), "test")
    assert len(said) == 1
    assert "1 pair of the test data also in the training data (row 2 is row 1)" in said[0]
    with collected() as said:
        check_overlap(train, _pairs(("b", "z")), "test")
    assert said == []


def test_parts_share_neither_source_nor_target():
    random = np.random.default_rng(4)
    pairs = _pairs(*((f"s{random.integers(150)}", f"t{random.integers(400)}") for _ in range(200)))
    parts = pair_parts(pairs, [0.2, 0.1], seed=1)
    assert sum(map(len, parts)) == 200
    assert sorted(row for part in parts for row in part.rows) == pairs.rows
    for side in ("sources", "targets"):
        texts = [set(getattr(part, side)) for part in parts]
        assert not (texts[0] | texts[1]) & texts[2]
        assert not texts[0] & texts[1]
    assert [part.rows for part in pair_parts(pairs, [0.2, 0.1], seed=1)] == [part.rows for part in parts]
    assert pair_parts(pairs, [0.2, 0.1], seed=2)[1].rows != parts[1].rows


def test_shares_of_pairs_that_all_differ():
    pairs = _pairs(*((f"s{i}", f"t{i}") for i in range(100)))
    assert [len(part) for part in pair_parts(pairs, [0.1, 0.05], seed=0)] == [85, 10, 5]
    assert [len(part) for part in pair_parts(pairs, [0.0, 0.0], seed=0)] == [100, 0, 0]
