"""The classify task on small data of every kind: cut, encoded, scored, foretold, reported."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn

from echoic.errors import DataError
from echoic.notices import collected
from echoic.tasks.classify import Classify
from echoic.tasks.options import settings_from


def task_of(**options) -> Classify:
    return Classify(settings_from(Classify.Settings, {"hidden_size": 6, "embedding_size": 5, **options}))


def model_of(task: Classify) -> nn.Module:
    torch.manual_seed(0)
    return task.build_model().eval()


def reviews(count: int = 60) -> pl.DataFrame:
    random = np.random.default_rng(1)
    words = ["the", "a", "room", "was", "very", "staff", "and", "of", "bed"]
    texts = [" ".join(random.choice(words, random.integers(1, 12))) + f" {i}" for i in range(count)]
    return pl.DataFrame(
        {"stars": random.random(count), "text": texts, "verdict": random.choice(["bad", "good", "fair"], count)}
    )


def arrays(count: int = 60) -> tuple[list[np.ndarray], list[int]]:
    random = np.random.default_rng(2)
    return [random.normal(size=(random.integers(1, 30), 2)) for _ in range(count)], random.integers(
        0, 3, count
    ).tolist()


def long_table(count: int = 40) -> pl.DataFrame:
    random = np.random.default_rng(3)
    rows = [
        {"series": f"s{i}", "time": t, "a": random.normal(), "b": random.normal(), "label": "xy"[i % 2]}
        for i in range(count)
        for t in range(random.integers(1, 9))
    ]
    return pl.DataFrame(rows).sample(fraction=1.0, shuffle=True, seed=4)


def ts_file(folder):
    random = np.random.default_rng(4)
    lines = [",".join(f"{v:.3f}" for v in random.normal(size=random.integers(2, 9))) + f":{i % 2}" for i in range(40)]
    path = folder / "tiny.ts"
    path.write_text("@univariate true\n@equalLength false\n@classLabel true 0 1\n@data\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture(params=["texts", "words in memory", "arrays", "long table", "ts"])
def source(request, tmp_path):
    makers = {
        "texts": reviews,
        "words in memory": lambda: (reviews()["text"].to_list(), reviews()["verdict"].to_list()),
        "arrays": arrays,
        "long table": long_table,
        "ts": lambda: ts_file(tmp_path),
    }
    return makers[request.param]()


def test_every_kind_of_source(source):
    task = task_of(batch_size=4, max_steps_per_batch=40)
    splits = task.prepare(source)
    assert splits.test is not None
    total = len(splits.train) + len(splits.validation) + len(splits.test)
    assert total in (60, 40)
    assert len(splits.train) > 0.7 * total
    model = model_of(task)
    evaluation = task.evaluate(model, splits.test, splits.train)
    assert set(evaluation.metrics) == {"accuracy", "macro_f1", "loss"}
    assert {"majority"} < set(evaluation.baselines)
    assert task.validate(model, splits.validation)["loss"] == pytest.approx(
        task.evaluate(model, splits.validation).metrics["loss"]
    )
    whole = task.read(source)
    assert len(whole) == total
    predicted = task.predict(model, source)
    assert predicted.height == total
    names = task.preprocessing.labels.names
    probabilities = predicted.select(f"probability_{name}" for name in names).to_numpy()
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert predicted["prediction"].to_list() == [names[i] for i in probabilities.argmax(axis=1)]
    truth = [names[i] for i in whole.labels]
    accuracy = np.mean([a == b for a, b in zip(predicted["prediction"], truth, strict=True)])
    assert task.evaluate(model, whole).metrics["accuracy"] == pytest.approx(accuracy)
    assert len(task.sections(model, splits, evaluation)) == 2
    again = Classify(task.settings, task.Preprocessing.model_validate_json(task.preprocessing.model_dump_json()))
    assert (again.probabilities(model, again.read(source)) == task.probabilities(model, whole)).all()


def test_the_vocabulary_is_of_the_training_part_alone():
    task = task_of()
    splits = task.prepare(reviews())
    known = {w for text in splits.train.examples.items for w in text.split()}
    units = task.preprocessing.units
    assert units is not None
    assert set(units.words) == known
    numbers = task_of()
    train = numbers.prepare(arrays()).train
    scaler = numbers.preprocessing.scaler
    assert scaler is not None
    assert scaler.mean == pytest.approx(np.concatenate(train.examples.items).mean(axis=0), abs=1e-6)


def test_a_label_seen_only_in_the_test_file(tmp_path):
    reviews().write_csv(tmp_path / "train.csv")
    reviews(6).with_columns(verdict=pl.Series(["good", "bad", "odd", "bad", "good", "odd"])).write_csv(
        tmp_path / "test.csv"
    )
    with pytest.raises(DataError) as caught:
        task_of(test=tmp_path / "test.csv").prepare(tmp_path / "train.csv")
    message = str(caught.value)
    assert "test.csv, row 4" in message
    for part in ('"odd"', "1 more", '"bad", "fair", "good"', "add examples"):
        assert part in message


def test_parts_in_files_of_their_own(tmp_path):
    for name, rows in (("train", 60), ("validation", 9), ("test", 7)):
        reviews(rows).write_csv(tmp_path / f"{name}.csv")
    task = task_of(validation=tmp_path / "validation.csv", test=tmp_path / "test.csv")
    splits = task.prepare(tmp_path / "train.csv")
    assert splits.test is not None
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [60, 9, 7]


@pytest.mark.parametrize(
    ("table", "word"),
    [
        (pl.DataFrame({"text": ["a", "b", "c"], "label": ["x", "x", "x"]}), 'only the label "x"'),
        (pl.DataFrame({"text": ["a", "b"], "label": ["x", "y"]}), "validation"),
        (pl.DataFrame({"text": ["a", "b"], "label": [None, None]}), "label"),
        (pl.DataFrame({"text": [], "label": []}), "rows"),
        (pl.DataFrame({"text": ["a"] * 9, "label": ["x", "y", "x"] * 3}), "validation"),
    ],
)
def test_data_that_cannot_be_learnt_from(table, word):
    with pytest.raises(DataError, match=word):
        task_of().prepare(table)


def test_data_of_another_kind_than_trained_on():
    texts, numbers = task_of(), task_of()
    texts.prepare(reviews())
    numbers.prepare(arrays())
    for task, wrong in ((texts, arrays()), (numbers, (["a", "b"], ["0", "1"])), (numbers, reviews())):
        with pytest.raises(DataError):
            task.read(wrong)
    model = model_of(texts)
    with pytest.raises(DataError, match="prediction"):
        texts.predict(model, reviews().with_columns(prediction=pl.lit("x")))
    with pytest.raises(DataError, match="text"):
        texts.predict(model, reviews().drop("text"))


def test_predictions_need_no_labels():
    task = task_of()
    task.prepare(reviews())
    model = model_of(task)
    table = reviews().drop("verdict")
    assert task.predict(model, table)["text"].to_list() == table["text"].to_list()
    assert task.predict(model, ["a fine bed", "", "of"]).height == 3
    unknown = reviews().with_columns(verdict=pl.lit("never seen"))
    assert task.predict(model, unknown).height == 60


def test_balanced_weights_reach_the_loss():
    texts = [f"text {i}" for i in range(100)]
    labels = ["rare" if i < 20 else "often" for i in range(100)]
    task = task_of(class_weights="balanced")
    splits = task.prepare((texts, labels))
    model = task.build_model()
    assert task.preprocessing.labels.names == ["often", "rare"]
    assert model.class_weights.tolist() == pytest.approx([100 / 160, 100 / 40])
    batch = next(iter(task.batches(splits.validation, training=False).epoch(0)))
    assert float(model.eval().loss(batch).mean.detach()) == pytest.approx(
        task.validate(model, splits.validation)["loss"]
    )


def test_long_sequences_are_cut_and_said():
    sequences, labels = arrays()
    sequences[0] = np.random.default_rng(0).normal(size=(100_000, 2))
    with collected() as said:
        task = task_of(max_length=50)
        part = task.prepare((sequences, labels)).train
    assert max(map(len, part.inputs)) <= 50
    assert any("cut after 50" in text for text in said) == (len(sequences[0]) in map(len, part.examples.items))


@pytest.mark.slow
def test_one_to_a_hundred_thousand_steps_in_one_training():
    """A batch of long rows stays within the bound, and the gradient is finite."""
    random = np.random.default_rng(0)
    lengths = [1, 2, 50, 400, 5_000, 100_000] * 4
    sequences = [random.normal(size=(n, 1)) for n in lengths]
    task = task_of(batch_size=8, validation_share=0.2, test_share=0)
    splits = task.prepare((sequences, [i % 2 for i in range(24)]))
    model = task.build_model()
    limit = task.settings.training.max_steps_per_batch
    for batch in task.batches(splits.train, training=True).epoch(0):
        assert batch.inputs.shape[0] == 1 or batch.inputs.shape[0] * batch.inputs.shape[1] <= limit
        model.loss(batch).mean.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
