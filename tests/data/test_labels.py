import numpy as np
import polars as pl
import pytest

from echoic.data.examples import Examples, stratified_parts
from echoic.data.label_column import label_texts
from echoic.data.labels import NO_LABEL, LabelSet
from echoic.errors import DataError


def texts(labels: list, items: list[str] | None = None) -> Examples:
    items = items or [f"text {i}" for i in range(len(labels))]
    return Examples("t.csv", items, labels, list(range(2, len(labels) + 2)), pl.DataFrame({"text": items}))


def test_classes_in_the_order_of_numbers_or_the_alphabet():
    assert LabelSet.fit(texts(["10", "9", "-1", "9"])).names == ["-1", "9", "10"]
    labels = LabelSet.fit(texts(["pear", "apple", None, "pear"]))
    assert labels.names == ["apple", "pear"]
    assert labels.counts == [1, 2]
    assert labels.encode(texts([None, "pear", "apple"])).tolist() == [NO_LABEL, 1, 0]
    assert labels.balanced_weights() == pytest.approx([1.5, 0.75])


def test_a_label_never_trained_on_names_row_and_remedy():
    labels = LabelSet.fit(texts(["a", "b"]))
    with pytest.raises(DataError) as caught:
        labels.encode(texts(["a", "c", "b", "d"]))
    assert caught.value.row == 3
    message = str(caught.value)
    for part in ('"c"', '"a", "b"', "1 more", "t.csv", "add examples"):
        assert part in message


@pytest.mark.parametrize("labels", [["a", "a"], [None, "a"], [None], []])
def test_less_than_two_classes(labels):
    with pytest.raises(DataError, match="at least two classes"):
        LabelSet.fit(texts(labels))


def test_a_column_of_measurements_is_no_class():
    with pytest.raises(DataError, match="forecast"):
        LabelSet.fit(texts([str(i / 7) for i in range(2000)]))


def test_labels_of_any_kind_are_texts():
    assert label_texts(pl.Series([1.0, 2.0, None, float("nan")]), 4, "") == ["1", "2", None, None]
    assert label_texts(np.array([3, 0], np.uint8), 2, "") == ["3", "0"]
    assert label_texts([" a ", "", True], 3, "") == ["a", None, "True"]
    assert label_texts(None, 2, "") == [None, None]
    with pytest.raises(DataError, match="3 labels"):
        label_texts([1, 2, 3], 2, "")


def test_parts_have_the_classes_in_equal_measure_and_share_no_content():
    random = np.random.default_rng(2)
    labels = random.choice(["x", "y", "z"], size=400, p=[0.7, 0.25, 0.05]).tolist()
    items = [f"{label} {i}" for label, i in zip(labels, random.integers(0, 150, 400), strict=True)]
    examples = texts(labels, items)
    parts = stratified_parts(examples, [0.2, 0.1], seed=3)
    assert sum(map(len, parts)) == 400
    assert sorted(row for part in parts for row in part.rows) == examples.rows
    contents = [set(part.items) for part in parts]
    assert not contents[0] & contents[1]
    assert not contents[0] & contents[2]
    assert not contents[1] & contents[2]
    for part, share in zip(parts, (0.7, 0.2, 0.1), strict=True):
        for label in "xyz":
            kinds = len({item for item in items if item[0] == label})
            assert abs(len({item for item in part.items if item[0] == label}) - share * kinds) <= 2
    again = stratified_parts(examples, [0.2, 0.1], seed=3)
    assert [part.items for part in again] == [part.items for part in parts]
    assert [part.items for part in stratified_parts(examples, [0.2, 0.1], seed=4)] != [part.items for part in parts]


def test_each_class_stays_in_the_training_part():
    train, validation, test = stratified_parts(texts(["rare", *["often"] * 9]), [0.5, 0.4], seed=0)
    assert set(train.labels) == {"rare", "often"}
    assert len(validation)
    assert len(test)
    assert "rare" not in validation.labels + test.labels


def test_examples_without_a_label_are_left_out_and_said(caplog):
    assert texts(["a", None, "b", None]).labelled().rows == [2, 4]
    assert "2 examples" in caplog.text
    assert "row 3" in caplog.text
