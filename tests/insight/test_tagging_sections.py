"""What the report says of a tagger: counted by hand on a small example."""

from __future__ import annotations

from echoic.data.tagged import Sentences
from echoic.insight.tagging_sections import TagsForetold, tagging_sections


def foretold(scheme: str) -> TagsForetold:
    spans = scheme == "bio"
    truth = [["B-A", "I-A", "O"], ["O", "B-B"]] if spans else [["X", "Y", "X"], ["X", "Z"]]
    said = [["B-A", "O", "O"], ["O", "B-B"]] if spans else [["X", "X", "X"], ["X", "Z"]]
    sentences = Sentences("file.tsv", [["Ada", "<Lovelace>", "slept"], ["in", "York"]], truth, [[1, 2, 3], [5, 6]])
    return TagsForetold(sentences, said, [[0.9, 0.8, 0.9], [0.7, 0.6]], scheme, [[True, False, True], [True, False]])


def test_spans():
    examples, kinds, mistakes = tagging_sections(foretold("bio"))
    assert examples.preformatted[0] == "line 1: Ada/B-A «<Lovelace>/O → I-A» slept"
    rows = {row[0]: row[1:] for row in kinds.tables[0][2]}
    assert rows["A"] == ["0.0 %", "0.0 %", "0.0 %", "1"]
    assert rows["B"] == ["100.0 %", "100.0 %", "100.0 %", "1"]
    assert mistakes.tables[0][2] == [["2", "Ada «<Lovelace>» slept", "I-A", "O (80 %)"]]


def test_plain_tags():
    _, kinds, mistakes = tagging_sections(foretold("plain"))
    rows = {row[0]: row[1:] for row in kinds.tables[0][2]}
    assert rows["seen in training"] == ["100.0 %", "3"]
    assert rows["not seen in training"] == ["50.0 %", "2"]
    assert "<svg" in kinds.figures[0][1]
    assert "1 of 5 tokens" in mistakes.text[0]


def test_no_mistake():
    details = foretold("bio")
    perfect = TagsForetold(details.sentences, details.sentences.tags, details.probabilities, "bio", details.known)
    assert tagging_sections(perfect)[2].text == ["There was no mistake."]
