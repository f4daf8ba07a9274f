"""Runs in spaCy pipelines: found by entry point, alone as in batches, saved and loaded."""

from __future__ import annotations

import warnings
from importlib.metadata import entry_points

import pytest
from tests.tiny import TINY

import echoic
from echoic.errors import OptionError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    spacy = pytest.importorskip("spacy", reason="spaCy is not installed: pip install echoic[spacy]")

TEXTS = ["Ada Adason went to New York today. Grace went to bed!", "", "  \n ", "Linus went to New Oslo .", "again"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    options = {"epochs": 8, "hidden_size": 12, "seed": 1, "learning_rate": 0.02}
    echoic.Tagger(**options).fit(TINY["tag"].write(folder), out=folder / "ner")
    words = ["Ada", "went", "to", "New", "York", "today"]
    tags = ["PROPN", "VERB", "ADP", "PROPN", "PROPN", "X-odd"]
    sentences = [(words[i % 4 :], tags[i % 4 :]) for i in range(20)] + [([w], [t]) for w, t in zip(words, tags)] * 3  # noqa: B905
    echoic.Tagger(**options).fit(sentences, out=folder / "pos")
    echoic.Classifier(**options).fit(TINY["classify"].write(folder), out=folder / "reviews")
    return folder


@pytest.fixture
def nlp():
    return spacy.blank("en")


def test_the_factories_are_entry_points():
    assert {"echoic_tagger", "echoic_classifier"} <= {point.name for point in entry_points(group="spacy_factories")}


def test_entities_are_those_of_the_tagger(nlp, runs):
    nlp.add_pipe("echoic_tagger", config={"run": str(runs / "ner")})
    docs = list(nlp.pipe(TEXTS, batch_size=2))
    words = [[t.text for t in doc if not t.is_space] for doc in docs]
    expected = echoic.load(runs / "ner").tag([w for w in words if w])
    found = [[f"{t.ent_iob_}-{t.ent_type_}".rstrip("-") for t in doc if not t.is_space] for doc in docs]
    assert [tags for tags in found if tags] == expected
    assert any(doc.ents for doc in docs)
    for text, doc in zip(TEXTS, docs, strict=True):
        assert [(e.text, e.label_) for e in nlp(text).ents] == [(e.text, e.label_) for e in doc.ents]


def test_sentences_are_those_of_the_pipeline(nlp, runs):
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("echoic_tagger", config={"run": str(runs / "ner")})
    doc = nlp(TEXTS[0])
    assert len(list(doc.sents)) == 2
    expected = [t for tags in echoic.load(runs / "ner").tag([[t.text for t in s] for s in doc.sents]) for t in tags]
    assert [f"{t.ent_iob_}-{t.ent_type_}".rstrip("-") for t in doc] == expected


def test_entities_of_others_stay_where_there_are_none_of_ours(nlp, runs):
    ruler = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "WHEN", "pattern": "today"}, {"label": "ODD", "pattern": "Ada Adason went"}])
    nlp.add_pipe("echoic_tagger", config={"run": str(runs / "ner")})
    labels = {e.text: e.label_ for e in nlp(TEXTS[0]).ents}
    assert labels["today"] == "WHEN"
    assert "Ada Adason went" not in labels


def test_parts_of_speech(nlp, runs):
    nlp.add_pipe("echoic_tagger", config={"run": str(runs / "pos")})
    doc = nlp("Ada went \n to today")
    tags = echoic.load(runs / "pos").tag([[t.text for t in doc if not t.is_space]])[0]
    assert [t.tag_ for t in doc if not t.is_space] == tags
    assert [t.pos_ for t in doc if not t.is_space] == [tag if tag != "X-odd" else "" for tag in tags]


def test_classes(nlp, runs):
    nlp.add_pipe("echoic_classifier", config={"run": str(runs / "reviews")})
    texts = ["lovely warm room", "the staff was rude", "cold"]
    table = echoic.load(runs / "reviews").predict(texts)
    for doc, good in zip(nlp.pipe(texts), table["probability_good"], strict=True):
        assert doc.cats["good"] == pytest.approx(good, abs=1e-6)
        assert sum(doc.cats.values()) == pytest.approx(1, abs=1e-6)


def test_a_saved_pipeline_opens_its_run_again(nlp, runs, tmp_path):
    nlp.add_pipe("echoic_tagger", config={"run": str(runs / "ner")})
    nlp.to_disk(tmp_path / "pipeline")
    again = spacy.load(tmp_path / "pipeline")
    assert [e.text for e in again(TEXTS[0]).ents] == [e.text for e in nlp(TEXTS[0]).ents]


def test_runs_that_do_not_fit(nlp, runs):
    with pytest.raises(OptionError, match="expected tag"):
        nlp.add_pipe("echoic_tagger", config={"run": str(runs / "reviews")})
    with pytest.raises(OptionError, match="no run"):
        nlp.add_pipe("echoic_classifier")
