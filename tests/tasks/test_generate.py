"""The generate task on small texts of every kind: cut, encoded, scored, continued, reported."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from echoic.errors import DataError, OptionError
from echoic.models.sampling import Sampling
from echoic.notices import collected
from echoic.tasks.generate import Generate, GenerateSettings

WORDS = ["the", "sea", "a", "wind", "of", "night", "calls", "over", "grey", "stones", "and", "she", "listens"]
POEMS = ["床前明月光", "疑是地上霜", "舉頭望明月", "低頭思故鄉", "春眠不覺曉", "處處聞啼鳥"]


def prose(size: int = 6000) -> str:
    generator = np.random.default_rng(0)
    lines = [" ".join(generator.choice(WORDS, 6)) for _ in range(size // 30)]
    return "\n".join(lines) + "\n"


def poems(count: int = 300) -> list[str]:
    generator = np.random.default_rng(1)
    return ["，".join(generator.choice(POEMS, 2)) + "。" for _ in range(count)]


def task_of(**data) -> Generate:
    settings = GenerateSettings()
    settings.model.hidden_size, settings.training.batch_size, settings.training.bptt = 8, 4, 16
    for name, value in data.items():
        setattr(settings.data, name, value)
    return Generate(settings)


def untrained(task: Generate):
    torch.manual_seed(0)
    return task.build_model()


SOURCES = {
    "running text": (prose(), {}),
    "subwords": (prose(), {"unit": "subword", "vocabulary_size": 290}),
    "lines": (prose(), {"lines": True}),
    "list of poems": (poems(), {}),
    "table": (pl.DataFrame({"number": range(300), "poem": poems()}), {}),
}


@pytest.fixture(params=list(SOURCES))
def prepared(request):
    source, options = SOURCES[request.param]
    task = task_of(**options)
    return task, task.prepare(source)


def test_parts_are_the_whole_and_scored_whole(prepared):
    task, splits = prepared
    model = untrained(task)
    assert splits.test is not None
    for part in (splits.validation, splits.test):
        evaluation = task.evaluate(model, part)
        assert len(evaluation.details[1]) == part.scored
        assert np.isfinite(evaluation.details[1]).all()
        validated = task.validate(model, part)
        assert validated["perplexity"] == pytest.approx(evaluation.metrics["perplexity"], rel=1e-4)
        assert np.log(validated["perplexity"]) == pytest.approx(validated["loss"], rel=1e-6)


def test_baselines_beside_the_model(prepared):
    task, splits = prepared
    evaluation = task.evaluate(untrained(task), splits.test, splits.train)
    assert {"unigram", "3-gram", "5-gram"} == set(evaluation.baselines)
    for baseline in evaluation.baselines.values():
        assert set(baseline) == set(evaluation.metrics)
    scores = [evaluation.baselines[name]["bits_per_character"] for name in ("unigram", "3-gram")]
    assert scores[1] < scores[0] < evaluation.metrics["bits_per_character"] + 1


def test_a_saved_vocabulary_builds_the_same_model(prepared):
    task, _ = prepared
    document = task.preprocessing.model_dump(mode="json")
    again = Generate(task.settings, Generate.Preprocessing.model_validate(document))
    model = untrained(task)
    assert [tuple(p.shape) for p in again.build_model().parameters()] == [tuple(p.shape) for p in model.parameters()]
    sampling = Sampling(length=30, seed=1)
    assert list(again.generate(model, "", sampling)) == list(task.generate(model, "", sampling))


def test_report_sections(prepared):
    task, splits = prepared
    model = untrained(task)
    evaluation = task.evaluate(model, splits.test, splits.train)
    titles = {section.title: section for section in task.sections(model, splits, evaluation)}
    assert len(titles["Samples"].preformatted) == 3
    assert len(titles["How well it foretells"].tables[0][2]) == 4
    assert titles["Most surprised"].tables[0][2]


def test_continuations_of_prompts(prepared):
    task, _ = prepared
    task.settings.data.continuation = 12
    model = untrained(task)
    first, second = ("床前", "春眠") if "床" in task.preprocessing.model_dump_json() else ("the sea", "a")
    table = task.predict(model, pl.DataFrame({"id": [7, 8, 9], "prompt": [first, None, second]}))
    assert table.columns == ["id", "prompt", "continuation"]
    assert table["id"].to_list() == [7, 8, 9]
    assert task.predict(model, [first, second]).height == 2
    with pytest.raises(DataError, match="continuation"):
        task.predict(model, table)


def test_prompts_from_files(tmp_path):
    task = task_of(continuation=5)
    task.prepare(prose())
    model = untrained(task)
    (tmp_path / "prompts.csv").write_text("prompt\nthe sea\nthe wind\n")
    (tmp_path / "prompts.txt").write_text("the sea\nthe wind\n")
    texts = [task.predict(model, tmp_path / name)["continuation"].to_list() for name in ("prompts.csv", "prompts.txt")]
    assert texts[0] == texts[1]
    assert [len(text) for text in texts[0]] == [5, 5]


def test_prompts_the_training_text_did_not_have():
    task = task_of()
    task.prepare(prose())
    model = untrained(task)
    with pytest.raises(OptionError, match="床前"):
        task.generate(model, "床前", Sampling(length=3))
    with collected() as said:
        assert "".join(task.generate(model, "the é", Sampling(length=3)))
    assert any("é" in text for text in said)


def test_separate_documents_end_and_running_text_does_not():
    task = task_of()
    task.prepare(poems())
    assert task._writer(untrained(task)).end == 1
    assert task._prompt("床")[0] == 1
    task = task_of()
    task.prepare(prose())
    assert 1 in task._writer(untrained(task)).forbidden
    assert task.preprocessing.vocabulary.decode(task._prompt("")) == "\n"


def test_validation_and_test_from_files(tmp_path):
    (tmp_path / "dev.txt").write_text("the sea calls\n" * 10)
    (tmp_path / "test.txt").write_text("a wind of night é\n" * 10)
    task = task_of(validation=tmp_path / "dev.txt", test=tmp_path / "test.txt")
    text = prose()
    splits = task.prepare(text)
    assert splits.train.characters == len(text)
    assert splits.validation.characters == 140
    assert (splits.test.symbols == 0).sum() == 10
    with collected() as said:
        task.read(tmp_path / "test.txt")
    assert any("10 of 180" in text for text in said)


def test_no_test_part_where_none_is_asked_for():
    assert task_of(test_share=0.0).prepare(prose()).test is None


@pytest.mark.parametrize(("source", "word"), [(["one poem"], "training"), ("short\ntext", "training"), ([], "empty")])
def test_too_short_texts_are_refused(source, word):
    with pytest.raises(DataError, match=word):
        task_of().prepare(source)


def test_a_model_learns_the_words():
    """After a few hundred steps it is much better than a unigram and near the 5-gram."""
    task = task_of()
    splits = task.prepare(prose(12_000))
    model = untrained(task)
    batches = task.batches(splits.train, training=True)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.03)
    model.train()
    for epoch in range(4):
        carry = None
        for batch in batches.epoch(epoch):
            loss = model.loss(batch, carry)
            carry = torch.utils._pytree.tree_map(torch.Tensor.detach, loss.carry)
            optimiser.zero_grad()
            loss.mean.backward()
            optimiser.step()
    evaluation = task.evaluate(model, splits.test, splits.train)
    scores = {name: m["bits_per_character"] for name, m in evaluation.baselines.items()}
    assert evaluation.metrics["bits_per_character"] < 0.6 * scores["unigram"]
    text = "".join(task.generate(model, "the ", Sampling(length=200, seed=0, temperature=0.3)))
    assert len(set(text.split()) & set(WORDS)) >= 3
