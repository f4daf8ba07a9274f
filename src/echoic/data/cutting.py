"""Texts cut into parts for training, validation and test."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from echoic.data.text import Corpus
from echoic.errors import DataError

SHORTEST = {"training": 200, "validation": 20, "test": 20}  # characters
STRETCHES = 10  # of a running text that make its validation part, at most
SHORTEST_STRETCH = 2000  # characters, unless it is the only one


class Parts(NamedTuple):
    """Documents of each part; no test where its share is 0."""

    training: list[str]
    validation: list[str]
    test: list[str]


def cut(corpus: Corpus, validation_share: float, test_share: float, seed: int) -> Parts:
    """Cut a corpus: the test part is ``test_share`` of it, the validation part ``validation_share`` of the rest.

    The test part of running text is its end. Its validation part is made of stretches spread over the rest, so that the
    training keeps what stands shortly before the test part, which is often of the same chapter. Separate documents are
    shuffled first, by the seed, since files are often sorted.
    """
    if corpus.separate:
        order = np.random.default_rng(seed).permutation(len(corpus.documents))
        shuffled = [corpus.documents[i] for i in order]
        test = int(len(order) * (1 - test_share))
        validation = int(test * (1 - validation_share))
        return Parts(shuffled[:validation], shuffled[validation:test], shuffled[test:])
    size = corpus.characters
    test = int(size * (1 - test_share))
    held = _spread(test, int(test * validation_share))
    kept = list(zip([0, *(stop for _, stop in held)], [*(start for start, _ in held), test], strict=True))
    return Parts(*(_stretches(corpus.documents, places) for places in (kept, held, [(test, size)])))


def _spread(size: int, share: int) -> list[tuple[int, int]]:
    """Stretches of ``share`` characters in all, in the middle of equal segments of ``size`` characters."""
    if share == 0:
        return []
    count = max(1, min(STRETCHES, share // SHORTEST_STRETCH))
    middles = [size * (2 * i + 1) // (2 * count) for i in range(count)]
    return [(middle - share // count // 2, middle - share // count // 2 + share // count) for middle in middles]


def _stretches(documents: Sequence[str], places: Sequence[tuple[int, int]]) -> list[str]:
    """The characters start to stop of all documents together, for each place; apart where a document ends."""
    found = []
    for start, stop in places:
        begin = 0
        for text in documents:
            if part := text[max(0, start - begin) : max(0, stop - begin)]:
                found.append(part)
            begin += len(text)
    return found


def check_long_enough(part: str, documents: Sequence[str], source: str) -> None:
    """Raise DataError for a part too short to learn from or to judge by."""
    characters = sum(map(len, documents))
    if characters < SHORTEST[part]:
        raise DataError(
            source,
            f"{characters} characters for {part}",
            f"at least {SHORTEST[part]}",
            "Give a longer text: some thousands of characters are the least from which anything is learnt.",
        )
