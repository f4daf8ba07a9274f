"""Tokens as numbers, and batches in which each distinct word stands once."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from echoic.data.tag_batches import NO_TAG, Tagged
from echoic.data.tagged import Sentences
from echoic.data.tokens import LONGEST, TokenVocabulary
from echoic.data.vocabulary import BOUNDARY, UNKNOWN

WORDS = [["The", "the", "Dog", "dog", "dog"], ["a", "dog", "ÜBER", "x" * 60]]


def test_vocabulary():
    vocabulary = TokenVocabulary.fit(WORDS)
    assert vocabulary.words[:2] == ["dog", "the"]
    assert vocabulary.counts[:3] == [4, 2, 1]
    assert vocabulary.knows("DOG")
    assert not vocabulary.knows("cat")
    cased = TokenVocabulary.fit(WORDS, lowercase=False, minimum=2)
    assert cased.words == ["dog"]
    assert TokenVocabulary.fit(WORDS, size=3).words == ["dog"]
    assert vocabulary.spelled
    chinese = TokenVocabulary.fit([["我", "爱"], ["你"]])
    assert not chinese.spelled
    assert not chinese.encode(["你"]).affixes.any()
    again = TokenVocabulary.model_validate_json(vocabulary.model_dump_json())
    for first, second in zip(vocabulary.encode(["dog", "Cat"]), again.encode(["dog", "Cat"]), strict=True):
        assert np.array_equal(first, second)


def test_spelling_and_affixes():
    vocabulary = TokenVocabulary.fit(WORDS).model_copy(update={"vectors": ["dog", "Dog"], "vector_size": 2})
    types = vocabulary.encode(["dog", "Dog", "DOG", "é", "x" * 60])
    assert types.words[0] == types.words[1] == types.words[2] != UNKNOWN
    assert types.words[3] == UNKNOWN
    assert types.vectors.tolist() == [1, 2, 1, 0, 0]
    assert types.lengths.tolist() == [5, 5, 5, 3, LONGEST + 2]
    assert types.characters[0, 0] == types.characters[0, 4] == BOUNDARY
    assert types.characters[0, 1:4].tolist() == vocabulary.characters.encode("dog").tolist()
    assert (types.characters[0, 5:] == 0).all()
    assert types.characters[3, 1] == UNKNOWN
    other = vocabulary.encode(["xog"]).affixes[0]
    assert (types.affixes[0] == other).tolist() == [False] * 4 + [True] * 2 + [False] * 2  # both end in -g and -og
    assert types.affixes[0, 3] != types.affixes[0, 7]  # the whole word as a beginning and as an end
    assert types.affixes.max() < vocabulary.buckets


@pytest.mark.parametrize("wrong", [{"words": ["a", "a"]}, {"counts": [1]}, {"vectors": ["b", "b"]}, {"buckets": -1}])
def test_edited_files_are_refused(wrong):
    values = TokenVocabulary.fit([["a", "b"]]).model_dump() | wrong
    with pytest.raises(ValidationError):
        TokenVocabulary.model_validate(values)


def test_batches_spell_each_word_once():
    generator = np.random.default_rng(2)
    known = ["ape", "bee", "cat", "Dog", "elephant"]
    sentences = [generator.choice(known, size=generator.integers(1, 9)).tolist() for _ in range(23)]
    rows = [[i] * len(words) for i, words in enumerate(sentences)]
    vocabulary = TokenVocabulary.fit(sentences)
    tags = [generator.integers(0, 4, len(words)) for words in sentences]
    part = Tagged.of(Sentences("list", sentences, None, rows), vocabulary, tags, np.arange(23))
    seen = []
    for batch in part.batches(5, 30, 0, shuffle=True).epoch(0):
        assert len(batch.words) <= len(known)
        assert batch.tokens.shape == batch.tags.shape
        assert batch.tokens.shape[1] == int(batch.lengths.max())
        for row, number in enumerate(batch.rows.tolist()):
            length = int(batch.lengths[row])
            expected = vocabulary.encode(sentences[number])
            chosen = batch.tokens[row, :length]
            assert batch.words[chosen].tolist() == expected.words.tolist()
            assert batch.spelled[chosen].tolist() == expected.lengths.tolist()
            assert batch.affixes[chosen].tolist() == expected.affixes.tolist()
            for symbols, spelled in zip(batch.characters[chosen], expected.characters, strict=True):
                width = min(len(symbols), len(spelled))
                assert symbols[:width].tolist() == spelled[:width].tolist()
                assert not symbols[width:].any()
            assert batch.tags[row, :length].tolist() == tags[number].tolist()
            assert (batch.tags[row, length:] == NO_TAG).all()
            assert int(batch.intents[row]) == number
            seen.append(number)
    assert sorted(seen) == list(range(23))
