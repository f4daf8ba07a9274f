"""Parts share nothing and together are all there is."""

from __future__ import annotations

import numpy as np
import pytest

from echoic.data.cutting import check_long_enough, cut
from echoic.data.text import Corpus
from echoic.errors import DataError


def test_running_text_is_cut_in_order():
    documents = ["".join(chr(0x4E00 + i) for i in range(300)), "".join(chr(0x5E00 + i) for i in range(703))]
    whole = "".join(documents)
    parts = cut(Corpus("text", documents, False), 0.05, 0.1, seed=0)
    assert "".join(parts.test) == whole[902:]
    assert "".join(parts.validation) == whole[429:474]
    assert "".join(parts.training) == whole[:429] + whole[474:902]
    assert len(parts.training) == 3, "the end of a document and the gap stay visible"


@pytest.mark.parametrize(("size", "stretches"), [(1000, 1), (100_000, 2), (1_000_001, 10)])
def test_validation_is_spread_over_running_text(size, stretches):
    whole = "".join(map(chr, np.random.default_rng(1).integers(0x4E00, 0x9E00, size)))
    training, validation, test = cut(Corpus("text", [whole], False), 0.05, 0.1, seed=0)
    assert len(validation) == stretches
    assert sum(map(len, validation)) == pytest.approx(0.05 * 0.9 * size, abs=stretches + 1)
    pieces = [text for pair in zip(training, [*validation, ""], strict=True) for text in pair]
    assert "".join([*pieces, *test]) == whole


def test_documents_are_shuffled_whole():
    documents = [f"{i:03d}" * (i % 5 + 1) for i in range(200)]
    parts = cut(Corpus("table", documents, True), 0.1, 0.25, seed=4)
    assert [len(part) for part in parts] == [135, 15, 50]
    assert sorted(text for part in parts for text in part) == sorted(documents)
    assert parts.test != documents[150:]
    assert cut(Corpus("table", documents, True), 0.1, 0.25, seed=4) == parts
    assert cut(Corpus("table", documents, True), 0.1, 0.25, seed=5) != parts


def test_no_share_no_part():
    parts = cut(Corpus("text", ["x" * 1000], False), 0.1, 0.0, seed=0)
    assert parts.test == []


def test_too_short_is_said():
    with pytest.raises(DataError, match="13 characters for training"):
        check_long_enough("training", ["a short text."], "a.txt")
    check_long_enough("training", ["x" * 200], "a.txt")
