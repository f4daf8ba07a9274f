"""Spans and their spellings: converted there and back, checked, and their rules against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from seqeval.metrics.sequence_labeling import get_entities
from tests.shared_data import shared_data

from echoic.data.tag_schemes import (
    PLAIN,
    SCHEMES,
    Span,
    allowed,
    convert,
    encode,
    faults,
    recognise,
    spans,
    tag_names,
)
from echoic.data.tagged_files import Asked, read_sentences


def random_spans(generator: np.random.Generator) -> tuple[list[Span], int]:
    found, place = [], 0
    for _ in range(generator.integers(0, 6)):
        place += int(generator.integers(0, 3))
        stop = place + int(generator.integers(1, 4))
        found.append(Span(str(generator.choice(["PER", "LOC", "per-son"])), place, stop))
        place = stop
    return found, place + int(generator.integers(0, 3))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_there_and_back(scheme):
    generator = np.random.default_rng(1)
    for _ in range(300):
        found, length = random_spans(generator)
        tags = encode(found, length, scheme)
        assert len(tags) == length
        assert spans(tags, scheme) == found
        assert faults(tags, scheme) == []
        for other in SCHEMES:
            assert convert(convert(tags, scheme, other), other, scheme) == tags


def test_known_spellings():
    found = [Span("A", 0, 2), Span("A", 2, 3), Span("B", 3, 4), Span("A", 5, 8)]
    assert encode(found, 8, "bio") == ["B-A", "I-A", "B-A", "B-B", "O", "B-A", "I-A", "I-A"]
    assert encode(found, 8, "iob1") == ["I-A", "I-A", "B-A", "I-B", "O", "I-A", "I-A", "I-A"]
    assert encode(found, 8, "bioes") == ["B-A", "E-A", "S-A", "S-B", "O", "B-A", "I-A", "E-A"]
    assert encode(found, 8, "bilou") == ["B-A", "L-A", "U-A", "U-B", "O", "B-A", "I-A", "L-A"]


@pytest.mark.parametrize("scheme", ["bio", "iob1"])
def test_faulty_tags_are_read_as_seqeval_reads_them(scheme):
    generator = np.random.default_rng(2)
    names = ["O", "B-A", "I-A", "B-B", "I-B"]
    for _ in range(500):
        tags = generator.choice(names, size=generator.integers(1, 9)).tolist()
        assert [(s.label, s.start, s.stop - 1) for s in spans(tags, scheme)] == get_entities(tags)


@pytest.mark.parametrize("scheme", ["bio", "bioes", "bilou", "bmes"])
def test_what_is_allowed_is_what_has_no_fault(scheme):
    """Start, follow and end together allow exactly the sequences without a fault: all of up to four tags."""
    names = tag_names(["A", "B"], scheme)
    rules = allowed(names, scheme)
    for length in range(1, 5 if len(names) < 8 else 4):
        for path in itertools.product(range(len(names)), repeat=length):
            fits = rules.start[path[0]] and rules.end[path[-1]]
            fits = fits and all(rules.follow[a, b] for a, b in itertools.pairwise(path))
            tags = [names[i] for i in path]
            assert fits == (faults(tags, scheme) == []), tags
            assert fits == (encode(spans(tags, scheme), length, scheme) == tags), tags


def test_faults_name_place_and_reason():
    assert faults(["O", "I-A", "I-A"], "bio")[0][:2] == (1, "I-A")
    assert [f.place for f in faults(["B-A", "I-B", "I-B", "O", "I-B"], "bio")] == [1, 4]
    assert "beginning" in faults(["I-A"], "bio")[0].reason
    found = faults(["B-A", "O", "S-B", "E-A", "B-B"], "bioes")
    assert [f.place for f in found] == [0, 3, 4]
    assert "end of the sentence" in found[-1].reason
    assert faults(["I-A", "B-A", "I-B"], "iob1") == []


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ([["B-A", "I-A", "O"]], "bio"),
        ([["I-A", "I-A", "O"], ["I-A", "B-A"]], "iob1"),
        ([["I-A", "O"], ["O", "B-A"]], "bio"),
        ([["B-A", "E-A", "O", "S-A"]], "bioes"),
        ([["B-A", "L-A", "O", "U-A"]], "bilou"),
        ([["B-A", "M-A", "E-A"]], "bmes"),
        ([["NOUN", "O", "VERB"]], PLAIN),
        ([["NN-TL", "IN"]], PLAIN),
        ([["B", "M", "E", "S"]], PLAIN),
        ([["O", "O"]], PLAIN),
        ([], PLAIN),
    ],
)
def test_schemes_are_recognised(tags, scheme):
    assert recognise(tags) == scheme


@pytest.mark.parametrize(
    ("name", "scheme", "entities", "wrong"),
    [("weibo-ner", "bio", 1885, 10), ("wikigold", "iob1", 2715, 0), ("snips", "bio", None, 0)],
)
def test_real_corpora(name, scheme, entities, wrong):
    tags = read_sentences(shared_data(f"tagging/{name}/train.tsv.gz"), Asked()).tags
    assert tags is not None
    assert recognise(tags) == scheme
    assert sum(len(faults(chosen, scheme)) for chosen in tags) == wrong
    if entities is not None:  # as the description counts them; what is faulty is a span more
        assert sum(len(spans(chosen, scheme)) for chosen in tags) == entities + wrong
