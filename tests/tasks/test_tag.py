"""The task tag on small data of every kind: cut, encoded, scored, foretold in the format it came in, reported."""

from __future__ import annotations

import gzip

import numpy as np
import polars as pl
import pytest
import torch
from tests.tiny import TINY

from echoic.cli.main import main
from echoic.data.tag_schemes import convert, faults, spans
from echoic.errors import DataError
from echoic.metrics.tagging import tagging_metrics
from echoic.notices import collected
from echoic.tasks.options import settings_from
from echoic.tasks.tag import Tag

SMALL = {"hidden_size": 5, "embedding_size": 4, "spelling_size": 4, "affix_size": 2, "batch_size": 4}
WORDS = ["Ada", "Grace", "went", "to", "York", "and", "slept", "."]


def task_of(**options) -> Tag:
    return Tag(settings_from(Tag.Settings, SMALL | options))


def model_of(task: Tag) -> torch.nn.Module:
    torch.manual_seed(0)
    return task.build_model().eval()


def sentences(count: int = 40, seed: int = 1) -> list[tuple[list[str], list[str], str]]:
    generator = np.random.default_rng(seed)
    found = []
    for i in range(count):
        words = [*generator.choice(WORDS, generator.integers(1, 9)).tolist(), f"w{seed}x{i}"]
        tags = ["B-PER" if w in ("Ada", "Grace") else "B-LOC" if w == "York" else "O" for w in words]
        tags = ["I-PER" if b == a == "B-PER" else a for a, b in zip(tags, ["O", *tags], strict=False)]
        found.append((words, convert(tags, "bio", "bio"), ["ask", "tell", "no"][i % 3]))
    return found


def columns_of(items, separator: str = "\t") -> str:
    blocks = ["\n".join(f"{w}{separator}{t}" for w, t in zip(words, tags, strict=True)) for words, tags, _ in items]
    return "\n\n".join(blocks) + "\n"


def universal_of(items) -> str:
    blocks = []
    for words, tags, _ in items:
        rows = zip(words, tags, strict=True)
        blocks.append("\n".join(f"{i}\t{w}\t_\t{t[0]}\tX\t_\t_\t_\t_\t_" for i, (w, t) in enumerate(rows, 1)) + "\n")
    return "# a comment\n" + "\n".join(blocks)


def rows_of(items) -> str:
    return "".join(f"{intent}\t{' '.join(words)}\t{' '.join(tags)}\n" for words, tags, intent in items)


def joined_of(items) -> str:
    return "".join(" ".join(f"{w}/{t[0]}" for w, t in zip(words, tags, strict=True)) + "\n" for words, tags, _ in items)


def table_of(items) -> pl.DataFrame:
    return pl.DataFrame({"words": [i[0] for i in items], "tags": [i[1] for i in items], "kind": [i[2] for i in items]})


FILES = {
    "a.conll": (columns_of, {}),
    "b.txt.gz": (lambda items: columns_of(items, " "), {"scheme": "bio"}),
    "c.conllu": (universal_of, {}),
    "d.tsv": (rows_of, {"intent": "1"}),
    "e.pos": (joined_of, {"decoder": "crf"}),
}


def write(path, content: str):
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return path


@pytest.mark.parametrize("name", [*FILES, "in memory", "table"])
def test_every_kind_of_source(tmp_path, name):
    items = sentences()
    if name in FILES:
        source, options = write(tmp_path / name, FILES[name][0](items)), FILES[name][1]
    else:
        source, options = (items, {}) if name == "in memory" else (table_of(items), {"intent": "kind"})
    task = task_of(**options)
    splits = task.prepare(source)
    assert splits.test is not None
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [32, 4, 4]
    model = model_of(task)
    evaluation = task.evaluate(model, splits.test, splits.train)
    plain = name in ("c.conllu", "e.pos")
    expected = {"accuracy", "sentence_accuracy", "nats"} | (set() if plain else {"precision", "recall", "f1"})
    expected |= {"intent_accuracy"} if "intent" in options else set()
    assert set(evaluation.metrics) == expected
    assert set(evaluation.baselines["most_frequent_tag"]) == expected - {"nats"}
    again = task.validate(model, splits.test)
    wrong = sum(1 - again[name] for name in ("accuracy", "f1", "intent_accuracy") if name in again)
    assert again.pop("loss") == pytest.approx(wrong)
    assert again == pytest.approx(evaluation.metrics, abs=1e-6)
    assert len(task.sections(model, splits, evaluation)) == 3

    whole = task.read(source)
    read, found = task.tag(model, source)
    truth = [tags if not plain else [t[0] for t in tags] for _, tags, _ in items]
    scored = task.evaluate(model, whole).metrics
    for metric, value in tagging_metrics(truth, found.tags, not plain).items():
        if not (metric == "sentence_accuracy" and "intent" in options):
            assert scored[metric] == pytest.approx(value)
    if not plain:
        assert all(faults(tags, "bio") == [] for tags in found.tags)
    reopened = Tag(task.settings, task.Preprocessing.model_validate_json(task.preprocessing.model_dump_json()))
    assert reopened.tag(model, source)[1] == found
    table = task.predict(model, source)
    if name in ("a.conll", "b.txt.gz", "c.conllu"):
        assert table["prediction"].to_list() == [tag for tags in found.tags for tag in tags]
        assert table["token"].to_list() == [word for words in read.tokens for word in words]
    else:
        assert table["prediction"].to_list() == [" ".join(tags) for tags in found.tags]


@pytest.mark.parametrize("name", list(FILES))
def test_predictions_have_the_format_of_their_source(tmp_path, name):
    """The file with the predicted tags in their column: all else is as it was, and it is read as any other."""
    items = sentences()
    source = write(tmp_path / name, FILES[name][0](items))
    task = task_of(**FILES[name][1])
    task.prepare(source)
    model = model_of(task)
    alike = task.predict_alike(model, source)
    assert alike is not None
    assert alike.rows == len(items)
    again = task.read(write(tmp_path / f"again-{name}", alike.text)).sentences
    before, found = task.tag(model, source)
    assert again.tags == found.tags
    assert again.tokens == before.tokens
    assert again.intents == found.intents
    perfect = found._replace(tags=before.tags, intents=before.intents)
    task.foretell = lambda *_, **__: perfect
    task.preprocessing = task.preprocessing.model_copy(update={"scheme": task.preprocessing.written})
    alike = task.predict_alike(model, source)
    assert alike is not None
    assert alike.text == FILES[name][0](items)


def test_iob1_is_learnt_and_written_as_iob1():
    items = [(words, convert(tags, "bio", "iob1"), "x") for words, tags, _ in sentences()]
    task = task_of()
    task.prepare(items)
    assert (task.preprocessing.written, task.preprocessing.scheme) == ("iob1", "bioes")
    _, found = task.tag(model_of(task), items)
    assert any("I-" in tag for tags in found.tags for tag in tags)
    for tags in found.tags:
        assert convert(convert(tags, "iob1", "bio"), "bio", "iob1") == tags


def test_bad_bio_is_said_with_its_rows_and_mended(tmp_path):
    items = sentences()
    items[3] = (["a", "b", "c"], ["O", "I-PER", "I-LOC"], "ask")
    row = sum(len(words) + 1 for words, _, _ in items[:3]) + 2
    with collected() as said:
        task = task_of()
        splits = task.prepare(write(tmp_path / "a.conll", columns_of(items)))
    (text,) = [text for text in said if "BIO" in text]
    for part in (f"row {row} ", f"row {row + 1} ", '"I-PER"', '"I-LOC"', "2 tags"):
        assert part in text
    for part in (splits.train, splits.validation, splits.test):
        assert part is not None
        for tags in part.tags:
            assert faults([task.preprocessing.tags[i] for i in tags], "bioes") == []


def test_a_tag_that_is_no_span_among_spans_is_said(tmp_path):
    items = sentences()
    row = sum(len(words) + 1 for words, _, _ in items[:3]) + 1
    items[3] = (["a", "b"], ["Z-PER", "O"], "ask")
    data = write(tmp_path / "a.conll", columns_of(items))
    share = {"validation_share": 0.05, "test_share": 0}
    with collected() as said:
        task = task_of(validation=write(tmp_path / "b.conll", columns_of(sentences(5, seed=2))), test_share=0)
        task.prepare(data)
    assert any(f'row {row} "Z-PER"' in text and "scheme=plain" in text for text in said)
    with collected() as said:
        task_of(scheme="plain", **share).prepare(data)
    assert not any("Z-PER" in text for text in said)


def test_repeats_stay_together_and_are_said(tmp_path):
    items = sentences(30) + sentences(30)
    with collected() as said:
        splits = task_of().prepare(items)
    assert any("30 repeated sentences" in text for text in said)
    assert splits.test is not None
    parts = [{tuple(w) for w in part.sentences.tokens} for part in (splits.train, splits.validation, splits.test)]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    train = write(tmp_path / "train.conll", columns_of(sentences()))
    test = write(tmp_path / "test.conll", columns_of([*sentences(5, seed=2), sentences()[7]]))
    with collected() as said:
        task_of(test=test, validation=test).prepare(train)
    assert any("1 of 6 test sentences also stand in the training data" in text for text in said)


def test_tags_never_seen_count_as_mistakes(tmp_path):
    task = task_of(decoder="softmax")
    task.prepare(sentences())
    model = model_of(task)
    part = task.read([(["Ada", "went"], ["B-ODD", "O"], "x")])
    assert part.tags[0].tolist() == [-1, task.preprocessing.tags.index("O")]
    metrics = task.evaluate(model, part).metrics
    assert metrics["recall"] == 0
    assert metrics["accuracy"] <= 0.5


@pytest.mark.parametrize(
    ("items", "options", "word"),
    [
        ([["a", "b"]] * 9, {}, "no column of tags"),
        (sentences(1), {}, "enough"),
        ([(["a"], ["X"])] * 20, {}, "1 different sentences"),
        ([(w, t) for w, t, _ in sentences()], {"intent": "1"}, "no intent"),
        (sentences(), {"max_length": 3}, "empty line between"),
        ([([f"w{i}"], [f"t{i}"]) for i in range(9000)], {}, "different tags"),
    ],
)
def test_data_that_cannot_be_learnt_from(items, options, word):
    with pytest.raises(DataError, match=word):
        task_of(**options).prepare(items)


def test_vectors_of_a_file_reach_the_model(tmp_path):
    path = tmp_path / "v.txt"
    path.write_text("ada 1.5 2.5\nunseen -1 -2\n")
    task = task_of(vectors=path)
    task.prepare(sentences())
    model = model_of(task)
    assert model.inputs.table.tolist() == [[0, 0], [1.5, 2.5], [-1, -2]]
    assert task.read([(["ADA", "unseen", "x"], ["O"] * 3)]).types.vectors.tolist() == [1, 2, 0]


def test_the_command_line_writes_what_it_reads(tmp_path, capsys):
    """Tiny data end to end: CoNLL in, CoNLL out, also packed; a table where the name asks for one."""
    data = TINY["tag"].write(tmp_path)
    run = tmp_path / "run"
    options = ["--epochs", "8", "--hidden-size", "8", "--batch-size", "8", "--learning-rate", "0.02"]
    assert main(["train", "tag", str(data), "--out", str(run), *options]) == 0
    capsys.readouterr()
    for name in ("out.tsv", "out.conll.gz"):
        assert main(["predict", str(run), str(data), "--out", str(tmp_path / name), "--json"]) == 0
        assert '"rows": 90' in capsys.readouterr().out
    text = (tmp_path / "out.tsv").read_text(encoding="utf-8")
    assert gzip.decompress((tmp_path / "out.conll.gz").read_bytes()).decode() == text
    before = data.read_text(encoding="utf-8").split("\n")
    assert [line.split("\t")[0] for line in text.split("\n")] == [line.split("\t")[0] for line in before]
    assert any(spans([line.split("\t")[1]], "bio") for line in text.split("\n") if "B-" in line)
    assert main(["predict", str(run), str(data), "--out", str(tmp_path / "out.parquet")]) == 0
    assert pl.read_parquet(tmp_path / "out.parquet").height == sum(map(bool, before))
    assert main(["predict", str(run), str(data), "--out", str(tmp_path / "out.docx")]) == 2
    assert ".conllu" in capsys.readouterr().err
