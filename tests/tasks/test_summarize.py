"""The summarize task on small data: cut, scored beside the first words, written, reported; copying that is learnt."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

import echoic
from echoic.errors import OptionError
from echoic.metrics.summaries import rouge
from echoic.notices import collected
from echoic.tasks.options import settings_from
from echoic.tasks.summarize import Summarize

TINY = {"hidden_size": 8, "heads": 2, "layers": 1, "vocabulary_size": 300, "beam": 2, "batch_size": 8}
WORDS = ["report", "budget", "lunch", "monday", "contract", "gas", "meeting", "draft", "travel", "price", "storm"]


def task_of(**options) -> Summarize:
    return Summarize(settings_from(Summarize.Settings, TINY | options))


def model_of(task: Summarize) -> nn.Module:
    torch.manual_seed(0)
    return task.build_model().eval()


def mails(count: int = 70, seed: int = 1) -> pl.DataFrame:
    """E-mails in which the words after "about" are the subject."""
    random = np.random.default_rng(seed)
    subjects = [" ".join(random.choice(WORDS, 2, replace=False)) for _ in range(count)]
    fill = [" ".join(random.choice(["please", "see", "the", "thanks", "all"], random.integers(1, 9))) for _ in subjects]
    bodies = [f"{before} {i} about {subject} ." for i, (before, subject) in enumerate(zip(fill, subjects, strict=True))]
    return pl.DataFrame({"id": range(count), "body": bodies, "subject": subjects, "other": ["some words"] * count})


@pytest.mark.parametrize("model", ["recurrent", "transformer"])
def test_from_a_table_to_summaries(model):
    table = mails()
    task = task_of(model=model, source="body", target="subject")
    splits = task.prepare(table)
    assert splits.test is not None
    trained = model_of(task)
    evaluation = task.evaluate(trained, splits.test, splits.train)
    assert set(evaluation.metrics) == {"rouge_1", "rouge_2", "rouge_l", "loss"}
    assert set(evaluation.baselines) == {"first_2_words", "first_4_words"}
    predicted = task.predict(trained, table.drop("subject"))
    assert predicted.columns == ["id", "body", "other", "summary", "score"]
    assert predicted["body"].to_list() == table["body"].to_list()
    again = rouge(predicted["summary"].to_list(), [[s] for s in table["subject"]])
    assert task.evaluate(trained, task.read(table)).metrics["rouge_1"] == pytest.approx(again["rouge_1"])
    sections = task.sections(trained, splits, evaluation)
    assert [section.title for section in sections][:2] == ["Summaries", "Lengths, and words of their own"]


def test_what_is_cut_is_said():
    task = task_of(source="body", target="subject", max_source=6, max_length=4)
    with collected() as said:
        splits = task.prepare(mails())
    assert max(len(s) for s in splits.train.sources) == 6
    assert max(len(t) for t in splits.train.targets) <= 4
    assert any("texts the first 6 symbols" in text and "max_source" in text for text in said)
    whole = task_of(source="body", target="subject").prepare(mails())
    assert whole.train.pairs.sources == splits.train.pairs.sources
    for short, full in zip(splits.train.sources, whole.train.sources, strict=True):
        assert np.array_equal(short, full[:6])


def test_summaries_that_are_none_are_said_by_row():
    table = mails().with_columns(subject=pl.when(pl.col("id") == 7).then(pl.col("body")).otherwise(pl.col("subject")))
    with collected() as said:
        splits = task_of(source="body", target="subject").prepare(table)
    assert any("no shorter than the text (row 8)" in text for text in said)
    parts = (splits.train, splits.validation, splits.test)
    assert sum(len(part) for part in parts if part is not None) == 70
    left = task_of(source="body", target="subject", drop_unlikely=True).prepare(table)
    assert sum(len(part) for part in (left.train, left.validation, left.test) if part is not None) == 69


def test_nothing_longer_than_allowed_is_written():
    task = task_of(source="body", target="subject", max_length=3)
    task.prepare(mails())
    model = model_of(task)
    part = task.read(mails(20, seed=2))
    assert max(len(best[0].tokens) for best in task.write(model, part)) <= 3


def test_further_references_count():
    task = task_of(source="body", target="subject")
    splits = task.prepare(mails())
    model = model_of(task)
    plain = task.evaluate(model, splits.validation).metrics["rouge_1"]
    outputs = task.texts(task.write(model, splits.validation))
    table = splits.validation.pairs.table.with_columns(mine=pl.Series(outputs))
    several = task_of(source="body", target="subject", references=["mine", "not there"])
    several.preprocessing = task.preprocessing
    found = several.evaluate(model, several.read(table)).metrics["rouge_1"]
    written = [bool(output.strip()) for output in outputs]
    assert found >= plain
    assert found >= 100 * np.mean(written) - 1e-9 if any(written) else found == plain


def test_chinese_is_judged_by_characters():
    random = np.random.default_rng(3)
    letters = list("天地人山水火木金土日月星风雨雷电")
    bodies = ["".join(random.choice(letters, random.integers(6, 20))) for _ in range(60)]
    table = pl.DataFrame({"text": bodies, "summary": [body[:3] for body in bodies]})
    task = task_of()
    splits = task.prepare(table)
    assert splits.test is not None
    evaluation = task.evaluate(model_of(task), splits.test, splits.train)
    assert evaluation.baselines["first_3_words"]["rouge_l"] == pytest.approx(100)
    assert evaluation.baselines["first_6_words"]["rouge_1"] == pytest.approx(200 * (0.5 * 1) / 1.5)


def test_copying_needs_one_vocabulary():
    task = task_of(source="body", target="subject", vocabulary="separate")
    task.prepare(mails())
    with pytest.raises(OptionError, match="joint"):
        task.build_model()


@pytest.mark.slow
def test_the_words_after_about_are_learnt(tmp_path):
    """The model finds and copies what matters, also numbers it has never seen; the first words do not hold it."""
    options = {"hidden_size": 48, "heads": 4, "layers": 1, "vocabulary_size": 300, "dropout": 0.1,
               "embedding_dropout": 0.0, "epochs": 40, "batch_size": 32, "learning_rate": 8e-3, "seed": 1}  # fmt: skip
    summarizer = echoic.Summarizer(source="body", target="subject", **options).fit(mails(900), out=tmp_path / "run")
    assert summarizer.metrics["test"]["rouge_1"] > 85
    assert max(b["rouge_1"] for b in summarizer.metrics["baselines"].values()) < 40
    loaded = echoic.load(tmp_path / "run")
    fresh = mails(20, seed=9)
    assert loaded.predict(fresh).equals(summarizer.predict(fresh))
