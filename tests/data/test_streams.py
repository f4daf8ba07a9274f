"""Streams: batches continue each other, cover the whole text, and depend on the seed and the epoch alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echoic.data.streams import HeldOutStreams, Symbols, TrainingStreams
from echoic.data.vocabulary import BOUNDARY, CharacterVocabulary


def running(size: int) -> Symbols:
    """A text in which every symbol is its place."""
    return Symbols(np.arange(size), np.zeros(1, np.int64), size - 1, False)


def rows(streams, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    batches = list(streams.epoch(epoch))
    assert len(batches) == len(streams)
    inputs, targets, _ = zip(*batches, strict=True)
    return np.concatenate(inputs, axis=1), np.concatenate(targets, axis=1)


@pytest.mark.parametrize(
    ("size", "batch", "length"), [(1000, 4, 7), (997, 3, 50), (63, 1, 7), (80, 16, 128), (9, 4, 4)]
)
def test_each_row_is_one_stretch_of_the_ring(size, batch, length):
    inputs, targets = rows(TrainingStreams(running(size), batch, length, seed=3), 5)
    assert (inputs[:, 1:] == targets[:, :-1]).all()
    assert (targets == (inputs + 1) % size).all()
    assert inputs.size >= size - batch * length // 2 - 1


def test_an_epoch_covers_the_text_about_once():
    inputs, _ = rows(TrainingStreams(running(10_000), 8, 16, seed=0), 0)
    counts = np.bincount(inputs.ravel(), minlength=10_000)
    assert (counts >= 1).mean() > 0.99
    assert counts.max() <= 2


def test_epochs_begin_elsewhere_and_seeds_decide():
    first = TrainingStreams(running(1000), 4, 10, seed=1)
    again = TrainingStreams(running(1000), 4, 10, seed=1)
    other = TrainingStreams(running(1000), 4, 10, seed=2)
    assert (rows(first, 0)[0] != rows(first, 1)[0]).any()
    assert (rows(first, 1)[0] == rows(again, 1)[0]).all()
    assert (rows(first, 1)[0] != rows(other, 1)[0]).any()


def test_an_epoch_resumed_in_its_middle_is_the_rest_of_it():
    streams = TrainingStreams(running(1000), 4, 10, seed=1)
    whole, rest = list(streams.epoch(3)), list(streams.epoch(3, start=9))
    assert len(rest) == len(whole) - 9
    assert all((a.inputs == b.inputs).all() for a, b in zip(whole[9:], rest, strict=True))


def test_rows_begin_afresh_now_and_then():
    """About one stretch in sixteen, in other places in each epoch, and never in held-out text."""
    streams = TrainingStreams(running(200_000), 16, 10, seed=2)
    fresh = [np.stack([batch.fresh.numpy() for batch in streams.epoch(epoch)]) for epoch in (0, 1)]
    assert fresh[0].mean() == pytest.approx(1 / 16, abs=0.01)
    assert (fresh[0] != fresh[1]).any()
    resumed = np.stack([batch.fresh.numpy() for batch in streams.epoch(1, start=400)])
    assert (resumed == fresh[1][400:]).all()
    assert not any(batch.fresh.any() for batch in HeldOutStreams(running(5000), 4, 10).epoch(0))


def test_separate_documents_keep_together_in_another_order():
    documents = ["a", "bcd", "ef", "ghijklmn", "op"] * 20
    vocabulary = CharacterVocabulary.fit(documents)
    text = Symbols.encode(documents, vocabulary, separate=True)
    assert text.characters == sum(map(len, documents)) + len(documents) == text.scored
    ring = TrainingStreams(text, 1, 3, seed=0)
    orders = []
    for epoch in range(2):
        shuffled = ring._shuffled(np.random.default_rng(epoch))
        parts = [vocabulary.decode(p) for p in np.split(shuffled, np.flatnonzero(shuffled == BOUNDARY))[1:]]
        assert sorted(parts) == sorted(documents)
        orders.append(parts)
    assert orders[0] != orders[1]


def test_boundaries_of_running_text():
    vocabulary = CharacterVocabulary.fit(["abc"])
    text = Symbols.encode(["ab", "c"], vocabulary, separate=False)
    assert text.symbols.tolist() == [1, 2, 3, 1, 4]
    assert text.characters == text.scored == 4


@given(size=st.integers(2, 400), count=st.integers(1, 9), length=st.integers(1, 50), warm_up=st.integers(0, 20))
def test_every_symbol_is_scored_exactly_once_after_its_own_past(size, count, length, warm_up):
    text = running(size)
    streams = HeldOutStreams(text, count, length, warm_up)
    inputs, targets = rows(streams, 0)
    scored = targets >= 0
    assert targets[scored].tolist() == list(range(1, size))
    assert (inputs[scored] == targets[scored] - 1).all()
    for row in range(len(inputs)):  # each scored symbol but those of the first row has warm_up symbols of context
        first = np.flatnonzero(scored[row])[:1]
        if row and len(first):
            assert first[0] >= warm_up
            assert (inputs[row, : first[0]] == targets[row, first[0]] - 1 - np.arange(first[0], 0, -1)).all()
    assert 0 <= streams.padding_share < 1
