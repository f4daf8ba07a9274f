import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.shared_data import shared_data

from echoic.data.ts_format import is_ts, read_ts
from echoic.errors import DataError

HEADER = """#a comment
@problemName Tiny
@timeStamps false
@missing true
@univariate false
@dimensions 2
@equalLength false
@classLabel true walk run
@data
"""


def write(folder, text: str):
    path = folder / "tiny.ts"
    path.write_text(text)
    return path


def test_cases_of_unequal_length_with_missing_values(tmp_path):
    path = write(tmp_path, HEADER + "1,2.5,-3:4,?,6:walk\n\n# between\n7:8e1:run\nNaN,1:2,3:?\n")
    examples = read_ts(path)
    assert examples.labels == ["walk", "run", None]
    assert examples.rows == [10, 13, 14]
    assert np.array_equal(examples.items[0], np.float32([[1, 4], [2.5, np.nan], [-3, 6]]), equal_nan=True)
    assert np.array_equal(examples.items[1], np.float32([[7, 80]]))
    assert np.isnan(examples.items[2][0, 0])
    assert examples.features == ["dimension 1", "dimension 2"]
    assert examples.table.to_dict(as_series=False) == {"case": [1, 2, 3]}
    assert not examples.are_texts


def test_packed_and_univariate(tmp_path):
    path = tmp_path / "tiny.ts.gz"
    with gzip.open(path, "wt") as file:
        file.write("@UNIVARIATE TRUE\n@classlabel true 1 2\n@data\n3,4,5:2\n6:1\n")
    assert is_ts(str(path))
    examples = read_ts(path)
    assert [item.tolist() for item in examples.items] == [[[3], [4], [5]], [[6]]]
    assert examples.labels == ["2", "1"]


def test_without_classes(tmp_path):
    examples = read_ts(write(tmp_path, "@univariate false\n@classLabel false\n@data\n1,2:3,4\n"))
    assert examples.labels == [None]
    assert examples.items[0].shape == (2, 2)


def test_dimensions_of_unequal_length_are_filled_up_and_said(tmp_path, caplog):
    examples = read_ts(write(tmp_path, HEADER + "1,2,3:4:walk\n"))
    assert np.isnan(examples.items[0][1:, 1]).all()
    assert "missing values" in caplog.text


@pytest.mark.parametrize(
    ("text", "row", "word"),
    [
        (HEADER + "1,2:3,4:walk\n1,x2:3,4:run\n", 11, "x2"),
        (HEADER + "1,inf:3,4:walk\n", 10, "infinite"),
        (HEADER + "1,1e60:3,4:walk\n", 10, "infinite"),
        (HEADER + "1,2:3,4:swim\n", 10, "swim"),
        (HEADER + "1,2:walk\n", 10, "1 dimensions"),
        (HEADER, None, "no case"),
        ("@univariate true\n1,2:a\n", 2, "before @data"),
        ("@univariate maybe\n@data\n1\n", 1, "maybe"),
        ("@dimensions many\n@data\n1\n", 1, "many"),
        ("@univariate true\n", None, "no line @data"),
        ("@univariate true\n@dimensions 3\n@data\n1:2:3\n", None, "agree"),
        ("@timeStamps true\n@data\n(1,2):a\n", None, "timeStamps"),
        ("@targetLabel true\n@data\n1:2\n", None, "regression"),
        ("@equalLength true\n@seriesLength 3\n@univariate true\n@classLabel true a\n@data\n1,2:a\n", 6, "2 values"),
    ],
)
def test_faults_name_the_line(tmp_path, text, row, word):
    with pytest.raises(DataError) as caught:
        read_ts(write(tmp_path, text))
    assert caught.value.row == row
    assert word in str(caught.value)
    assert "tiny.ts" in str(caught.value)


@settings(max_examples=60)
@given(st.text(alphabet="@data\n:,?#0123456789.eE+-xclassLbtru \0é", max_size=300))
def test_any_text_is_read_or_refused(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / "tiny.ts"
    path.write_text("@univariate false\n@data\n" + text, encoding="utf-8")
    try:
        examples = read_ts(path)
    except DataError:
        return
    assert all(item.ndim == 2 and not np.isinf(item).any() for item in examples.items)


def test_the_archive():
    train = read_ts(shared_data("classification/japanese-vowels/JapaneseVowels_TRAIN.ts.gz"))
    assert len(train) == 270
    assert {item.shape[1] for item in train.items} == {12}
    assert (min(map(len, train.items)), max(map(len, train.items))) == (7, 26)
    assert [train.labels.count(str(i)) for i in range(1, 10)] == [30] * 9
    assert train.items[0][0, 0] == np.float32(1.860936)
