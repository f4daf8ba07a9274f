"""Texts of pairs as symbols and back, and as batches."""

import numpy as np

from echoic.data.encoded_pairs import EncodedPairs
from echoic.data.pair_batch import END, PAD, START, pair_batch
from echoic.data.pair_text import PairText
from echoic.data.pairs import read_pairs

GERMAN = ["das Haus ist alt", "das alte Haus", "ein Haus und ein Baum"] * 5
ENGLISH = ["the house is old", "the old house", "a house and a tree"] * 5


def test_round_trip_of_any_text():
    text = PairText.fit(GERMAN, ENGLISH, 300, joint=True, lowercase=False)
    for said in ("the old house", "Ünknown 房子 😀", "a"):
        assert text.decode(text.encode_target(said)) == said
    assert text.decode(text.encode_target("  the\told  house ")) == "the old house"


def test_a_word_is_the_same_symbol_at_the_beginning_and_within():
    text = PairText.fit(GERMAN, ENGLISH, 300, joint=True, lowercase=True)
    (house,) = text.encode_source("Haus")
    assert text.encode_source("das Haus")[-1] == house


def test_joint_and_separate():
    joint = PairText.fit(GERMAN, ENGLISH, 290, joint=True, lowercase=False)
    separate = PairText.fit(GERMAN, ENGLISH, 290, joint=False, lowercase=False)
    assert joint.joint
    assert joint.written is joint.source
    assert not separate.joint
    assert separate.written is separate.target
    assert separate.decode(separate.encode_target("the house")) == "the house"
    assert PairText.model_validate_json(separate.model_dump_json()) == separate
    assert separate.pieces(separate.encode_source("das Haus"), source=True)[0].strip() == "das"


def test_a_batch_has_its_ends_in_place():
    batch = pair_batch([np.array([5, 6, 7]), np.array([8])], [np.array([9]), np.array([4, 3])])
    assert batch.source.tolist() == [[5, 6, 7, END], [8, END, PAD, PAD]]
    assert batch.target_in.tolist() == [[START, 9, PAD], [START, 4, 3]]
    assert batch.target_out.tolist() == [[9, END, PAD], [4, 3, END]]
    assert (batch.source_lengths.tolist(), batch.target_lengths.tolist()) == ([4, 2], [2, 3])


def test_batches_hold_every_pair_once_within_the_bound():
    random = np.random.default_rng(0)
    sources, targets = ([np.full(n, i + 2) for i, n in enumerate(random.integers(1, 30, 90))] for _ in range(2))
    pairs, _ = read_pairs((["s"] * 90, ["t"] * 90))
    batches = EncodedPairs(pairs, sources, targets).batches(16, 200, seed=3, shuffle=True)
    found = []
    for batch in batches.epoch(0):
        assert max(batch.source.numel(), batch.target_out.numel()) <= 200
        assert len(batch.source) <= 16
        assert (batch.source[:, 0] == batch.target_out[:, 0]).all()
        found += batch.source[:, 0].tolist()
    assert sorted(found) == list(range(2, 92))
