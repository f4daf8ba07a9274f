import numpy as np
import pytest

from echoic.data.feature_scaling import FeatureScaler
from echoic.data.labelled_tables import Columns, examples_from_table, guess_columns
from echoic.data.sequences import examples_from_arrays
from echoic.data.table import open_table
from echoic.errors import DataError

LONG = """id,time,x,y,label
b,2,1.5,,run
a,1,10,1,walk
b,1,0.5,7,run
a,3,30,3,walk
a,2,20,2,walk
"""


def read(folder, text: str, asked: Columns | None = None, name: str = "long.csv"):
    path = folder / name
    path.write_text(text)
    table = open_table(path)
    return examples_from_table(table, guess_columns(table, asked or Columns([], None)))


def test_a_long_table_becomes_a_sequence_for_each_series(tmp_path, caplog):
    examples = read(tmp_path, LONG)
    assert examples.features == ["x", "y"]
    assert examples.labels == ["run", "walk"]
    assert examples.rows == [2, 3]
    assert np.array_equal(examples.items[0], np.float32([[0.5, 7], [1.5, np.nan]]), equal_nan=True)
    assert examples.items[1].tolist() == [[10, 1], [20, 2], [30, 3]]
    assert examples.table.to_dict(as_series=False) == {"id": ["b", "a"]}
    assert "--series id" in caplog.text
    assert "--input x,y" in caplog.text


def test_rows_are_the_steps_where_there_is_no_time(tmp_path, caplog):
    examples = read(tmp_path, "id,x,label\nb,1,u\na,2,v\nb,3,u\na,4,v\n", Columns(["x"], "label", "id"))
    assert [item.ravel().tolist() for item in examples.items] == [[1, 3], [2, 4]]
    assert "order of their rows" in caplog.text


def test_numeric_times_are_ordered_as_numbers(tmp_path):
    examples = read(tmp_path, "id,time,x,label\na,10,3.5,u\na,9,2.5,u\nb,1,0.5,v\n")
    assert examples.items[0].ravel().tolist() == [2.5, 3.5]


@pytest.mark.parametrize(
    ("change", "row", "column", "word"),
    [
        (("a,3,30,3,walk", "a,3,30,3,run"), 5, "label", "tagging"),
        (("a,3,30", "a,1,30"), 5, "time", "second time"),
        (("a,3,30", ",3,30"), 5, "id", "empty"),
        (("a,3,30", "a,,30"), 5, "time", "empty"),
        (("30,3", "inf,3"), 5, "x", "infinite"),
        (("30,3", "many,3"), 5, "x", "many"),
    ],
)
def test_faults_name_row_and_column(tmp_path, change, row, column, word):
    with pytest.raises(DataError) as caught:
        read(tmp_path, LONG.replace(*change), Columns(["x", "y"], "label", "id", "time"))
    assert (caught.value.row, caught.value.column) == (row, column)
    assert word in str(caught.value)


def test_texts_are_told_from_series(tmp_path, caplog):
    examples = read(tmp_path, "stars,review,verdict\n5,a fine day,good\n1,so dull,bad\n4,,good\n2,meh,bad\n")
    assert examples.are_texts
    assert examples.items == ["a fine day", "so dull", "", "meh"]
    assert examples.labels == ["good", "bad", "good", "bad"]
    assert "1 empty" in caplog.text
    assert "--label verdict" in caplog.text
    dna = read(tmp_path, "class,instance,sequence\n" + "".join(f"{'EN'[i % 2]},i{i},ACG{i}TTA\n" for i in range(9)))
    assert dna.items[0] == "ACG0TTA"
    headerless = read(tmp_path, 'so "good\t1\nso bad\t0\nrather good\t1\n', name="t.tsv")
    assert headerless.labels == ["1", "0", "1"]
    assert headerless.items[0] == 'so "good'
    assert headerless.rows[0] == 1


def test_names_that_are_not_there(tmp_path):
    for asked in (Columns(["z"], None), Columns([], "z"), Columns([], None, "z"), Columns([], None, None, "z")):
        with pytest.raises(DataError, match='"z"'):
            read(tmp_path, LONG, asked)
    with pytest.raises(DataError, match="--label"):
        read(tmp_path, "a,b\n0.5,1.25\n0.25,7.5\n0.75,3.5\n")
    with pytest.raises(DataError, match="--series"):
        read(tmp_path, "label,b\nu,1.25\nv,7.5\nu,3.5\n")


def test_arrays():
    examples = examples_from_arrays([[1, 2, 3], np.array([4.0])], ["a", "b"])
    assert examples.items[0].tolist() == [[1], [2], [3]]
    wide = examples_from_arrays([np.ones((2, 3)), np.zeros((0, 3))], None)
    assert wide.labels == [None, None]
    assert wide.features == ["feature 1", "feature 2", "feature 3"]
    for wrong in ([np.ones((2, 3)), np.ones((2, 2))], [np.ones((1, 2, 3))], [["x"]], [[np.inf]], []):
        with pytest.raises(DataError):
            examples_from_arrays(wrong, None)


def test_scaling_is_learnt_from_what_is_known(caplog):
    random = np.random.default_rng(0)
    sequences = [random.normal([5, -2, 3], [2, 0.1, 0], size=(n, 3)) for n in (4, 9, 1)]
    sequences[1][2:5, 1] = np.nan
    examples = examples_from_arrays(sequences, None)
    scaler = FeatureScaler.fit(examples)
    assert "feature 2 (21.4%)" in caplog.text
    assert "feature 3" in caplog.text
    steps = np.concatenate(sequences)
    encoded = np.concatenate([scaler.encode(values) for values in examples.items])
    assert encoded.shape == (14, scaler.size) == (14, 4)
    expected = (steps - np.nanmean(steps, axis=0)) / np.array([*np.nanstd(steps, axis=0)[:2], 1])
    assert encoded[:, :3] == pytest.approx(np.nan_to_num(expected), abs=1e-4)
    assert (encoded[:, 3] == np.isnan(steps[:, 1])).all()
    together = FeatureScaler.fit(examples, together=True)
    assert together.mean == pytest.approx([np.nanmean(steps)] * 3, abs=1e-5)
    assert together.scale == pytest.approx([np.nanstd(steps)] * 3, abs=1e-5)
    assert FeatureScaler.model_validate_json(scaler.model_dump_json()) == scaler
    for constant in (np.ones((3, 1)), np.full((3, 1), np.nan)):
        with pytest.raises(DataError):
            FeatureScaler.fit(examples_from_arrays([constant], None))
    with pytest.raises(DataError, match="2 features"):
        scaler.check(examples_from_arrays([np.ones((2, 2))], None))
