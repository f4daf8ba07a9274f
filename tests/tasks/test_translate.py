"""translate: from lines or columns to translations, by the public ways."""

import numpy as np
import polars as pl
import pytest
from tests.tiny import TINY

import echoic
from echoic.errors import DataError, OptionError
from echoic.notices import collected

SMALL = {
    "hidden_size": 24, "layers": 1, "cell": "GRU", "vocabulary_size": 300, "max_length": 12, "epochs": 2,
    "batch_size": 16, "beam": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def phrases(tmp_path_factory):
    return TINY["translate"].write(tmp_path_factory.mktemp("phrases"))


@pytest.fixture(scope="module")
def lines(phrases, tmp_path_factory):
    """The same as line-aligned files, the last 30 as test."""
    folder, table = tmp_path_factory.mktemp("lines"), pl.read_csv(phrases, separator="\t")
    for name, part in {"train": table[:100], "test": table[100:]}.items():
        for ending, column in {"de": "german", "en": "english"}.items():
            (folder / f"{name}.{ending}").write_text("\n".join(part[column]) + "\n")
    return folder


@pytest.fixture(scope="module")
def fitted(lines):
    translator = echoic.Translator(target_file=lines / "train.en", test=lines / "test.de", n_best=2, **SMALL)
    return translator.fit(lines / "train.de")


def test_metrics_and_the_baseline(fitted):
    numbers = fitted.metrics
    assert {"bleu", "chrf", "loss"} <= numbers["test"].keys()
    assert numbers["baselines"]["copy_of_the_source"].keys() == {"bleu", "chrf"}


def test_the_targets_of_the_test_were_found_beside_it(fitted, lines):
    again = fitted.evaluate(lines / "test.de")
    assert again == pytest.approx(fitted.metrics["test"])
    assert fitted.evaluate((lines / "test.de", lines / "test.en")) == pytest.approx(again)


def test_predict_gives_the_n_best_in_order(fitted):
    found = fitted.predict(["zwei katzen", "drei hunde und vier boote"])
    assert found.columns == ["source", "translation", "score", "translation_2", "score_2"]
    assert (found["score"] >= found["score_2"]).all()
    with pytest.raises(DataError, match='a column "translation"'):
        fitted.predict(pl.DataFrame({"source": ["zwei"], "translation": ["two"]}))


def test_a_saved_model_translates_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "run")
    said = ["zwei katzen", "eins berge"]
    assert echoic.load(tmp_path / "run").predict(said).equals(fitted.predict(said))


def test_attention_and_examples_are_in_the_report(lines, tmp_path):
    options = SMALL | {"epochs": 1, "show_rows": [3, 5], "test": lines / "test.de", "target_file": lines / "train.en"}
    echoic.Translator(**options).fit(lines / "train.de", out=tmp_path / "run")
    report = (tmp_path / "run" / "report.html").read_text()
    assert "Where the model looked" in report
    assert "row 3" in report
    assert "row 5" in report
    assert "nrefs:1" in report


def test_empty_sides_and_repeats_are_said(tmp_path):
    rows = [f"wort{i}\tword{i}" for i in range(60)]
    (tmp_path / "a.tsv").write_text("\n".join(["de\ten", *rows, "leer\t"]) + "\n")
    (tmp_path / "b.tsv").write_text("\n".join(["de\ten", "neu\tnew", rows[7]]) + "\n")
    options = SMALL | {"epochs": 1, "source": "de", "target": "en", "test": tmp_path / "b.tsv"}
    with collected() as said:
        echoic.Translator(**options).fit(tmp_path / "a.tsv")
    assert any("left out (row 62)" in text for text in said)
    assert any("row 3 is row 9" in text for text in said)


def test_what_cannot_be(lines):
    with pytest.raises(DataError, match="--target-file"):
        echoic.Translator(**SMALL).fit(lines / "train.de")
    with pytest.raises(OptionError, match="at most the beam"):
        echoic.Translator(beam=2, n_best=3)
    with pytest.raises(OptionError, match="separate"):
        echoic.Translator(vocabulary="common")


@pytest.mark.slow
def test_it_learns_to_translate():
    """Word for word, from the last to the first: where to look has to be learnt."""
    random = np.random.default_rng(4)
    words = {"eins": "one", "zwei": "two", "drei": "three", "vier": "four", "katzen": "cats", "hunde": "dogs"}
    said = [random.choice([*words], count) for count in random.integers(2, 7, 800)]
    table = pl.DataFrame(
        {
            "german": [" ".join(words_of) for words_of in said],
            "english": [" ".join(words[word] for word in reversed(words_of)) for words_of in said],
        }
    )
    options = SMALL | {"hidden_size": 48, "max_length": 20, "epochs": 20, "batch_size": 32, "learning_rate": 5e-3}
    translator = echoic.Translator(
        source="german", target="english", dropout=0.1, embedding_dropout=0.0, **options
    ).fit(table)  # fmt: skip
    assert translator.metrics["test"]["bleu"] > 80
    assert translator.predict(["eins hunde vier"])["translation"].to_list() == ["four dogs one"]
