import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echoic.data.batching import WIDTH, LengthBuckets
from echoic.errors import OptionError


def rows_of(buckets: LengthBuckets, epoch: int) -> list[list[int]]:
    return [batch.tolist() for batch in buckets.epoch(epoch)]


@given(
    lengths=st.lists(st.integers(0, 100_000), max_size=60),
    batch_size=st.integers(1, 9),
    max_steps=st.none() | st.integers(1, 200_000),
    shuffle=st.booleans(),
)
def test_each_row_once_within_the_bounds(lengths, batch_size, max_steps, shuffle):
    buckets = LengthBuckets(lengths, lambda rows: rows, batch_size, seed=4, shuffle=shuffle, max_steps=max_steps)
    for epoch in (0, 1, 7):
        batches = rows_of(buckets, epoch)
        assert len(batches) == len(buckets)
        assert sorted(row for rows in batches for row in rows) == list(range(len(lengths)))
        for rows in batches:
            assert 1 <= len(rows) <= batch_size
            if max_steps is not None and len(rows) > 1:
                assert len(rows) * max(lengths[row] for row in rows) <= max_steps


def test_the_order_is_fixed_by_seed_and_epoch():
    lengths = np.random.default_rng(0).integers(1, 50, 300)

    def order(seed: int, epoch: int) -> list[list[int]]:
        return rows_of(LengthBuckets(lengths, lambda rows: rows, 7, seed), epoch)

    assert order(1, 3) == order(1, 3)
    assert order(1, 3) != order(2, 3)
    assert order(1, 3) != order(1, 4)
    assert order(1, 3) != sorted(order(1, 3), key=lambda rows: lengths[rows[0]]), "short and long batches are mixed"


def test_an_epoch_can_begin_in_its_midst():
    buckets = LengthBuckets(np.random.default_rng(0).integers(1, 5000, 100), lambda rows: rows, 8, 5, max_steps=9000)
    whole = rows_of(buckets, 2)
    assert [batch.tolist() for batch in buckets.epoch(2, start=3)] == whole[3:]
    assert len(whole) > 13, "long rows make smaller batches"


def test_padding_share():
    buckets = LengthBuckets([3, 5, 4, 9], lambda rows: rows, 2, shuffle=False)
    assert rows_of(buckets, 0) == [[0, 2], [1, 3]]
    assert buckets.padding_share == pytest.approx(1 - 21 / (2 * 4 + 2 * 9))
    lengths = np.random.default_rng(1).integers(1, 1000, 2000)
    assert LengthBuckets(lengths, lambda rows: rows, 16).padding_share < 0.05
    bounded = LengthBuckets(lengths, lambda rows: rows, 16, max_steps=1000)
    assert bounded.padding_share < 1 - 1 / WIDTH
    assert LengthBuckets([], lambda rows: rows, 16).padding_share == 0
    assert LengthBuckets([0, 0], lambda rows: rows, 16).padding_share == 0


def test_impossible_sizes():
    with pytest.raises(OptionError):
        LengthBuckets([1], lambda rows: rows, 0)
    with pytest.raises(OptionError):
        LengthBuckets([1], lambda rows: rows, 1, max_steps=0)
