"""Weights are compared with the model they are for before anything is allocated."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echoic.errors import ModelError
from echoic.runs.weights import read_weights, write_weights

ARRAYS = {"cell.weight_hh": np.arange(6, dtype=np.float32).reshape(2, 3), "count": np.array(7, dtype=np.int64)}
EXPECTED = {"cell.weight_hh": ((2, 3), "float32"), "count": ((), "int64")}


def test_what_is_written_is_read(tmp_path):
    write_weights(tmp_path / "w", ARRAYS)
    found = read_weights(tmp_path / "w", EXPECTED)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({**EXPECTED, "bias": ((3,), "float32")}, "missing"),
        ({"count": ((), "int64")}, "unknown"),
        ({**EXPECTED, "cell.weight_hh": ((3, 2), "float32")}, r"\[2, 3\], expected float32 \[3, 2\]"),
        ({**EXPECTED, "count": ((), "int32")}, "int64"),
    ],
)
def test_a_difference_is_named(tmp_path, expected, message):
    write_weights(tmp_path / "w", ARRAYS)
    with pytest.raises(ModelError, match=message):
        read_weights(tmp_path / "w", expected)


def test_missing_file(tmp_path):
    with pytest.raises(ModelError, match="not here"):
        read_weights(tmp_path / "w", EXPECTED)


def test_a_header_longer_than_the_file(tmp_path):
    (tmp_path / "w").write_bytes(struct.pack("<Q", 2**62) + b"{}")
    with pytest.raises(ModelError, match="header"):
        read_weights(tmp_path / "w", EXPECTED)


def test_a_header_that_promises_more_than_the_file_holds(tmp_path):
    header = {"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}
    text = json.dumps(header).encode()
    (tmp_path / "w").write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(ModelError):
        read_weights(tmp_path / "w", {"a": ((2**40,), "float32")})


@settings(max_examples=150, deadline=None)
@given(position=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.integers(0, 300))
def test_a_damaged_file_never_escapes_as_anything_else(tmp_path_factory, position, byte, cut):
    path = tmp_path_factory.mktemp("damaged") / "w"
    write_weights(path, ARRAYS)
    content = bytearray(path.read_bytes())
    content[position % len(content)] = byte
    path.write_bytes(bytes(content[: len(content) - cut % len(content)]))
    try:
        found = read_weights(path, EXPECTED)
    except ModelError:
        return
    assert {name: array.shape for name, array in found.items()} == {n: s for n, (s, _) in EXPECTED.items()}
