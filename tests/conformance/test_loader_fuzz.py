"""Whatever stands in a model's files, opening it either works or says which file is wrong."""

from __future__ import annotations

import json
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.tiny import QUICK, TINY

import echoic
from echoic.cli.main import main
from echoic.errors import UserError

FILES = ("config.json", "model/config.json", "model/preprocessing.json", "model/weights.safetensors")
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module", params=list(TINY))
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    data = TINY[request.param].write(folder)
    options = [*QUICK, *TINY[request.param].options]
    assert main(["train", request.param, str(data), "--out", str(folder / "run"), *options]) == 0
    return folder / "run"


def opens_or_explains(run) -> None:
    try:
        echoic.load(run)
    except UserError as error:
        if not str(error):
            pytest.fail("an error without words")


FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(file=st.sampled_from(FILES), position=st.integers(0, 2**20), byte=st.integers(0, 255), cut=st.integers(0, 3))
def test_changed_bytes(run, tmp_path_factory, file, position, byte, cut):
    copy = tmp_path_factory.mktemp("copy") / "run"
    shutil.copytree(run, copy)
    content = bytearray((copy / file).read_bytes())
    content[position % len(content)] = byte
    if cut:
        del content[position % len(content) :: cut]
    (copy / file).write_bytes(bytes(content))
    opens_or_explains(copy)


def _places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items)[:40]:
        yield from _places(inner, (*path, key))


@FUZZ
@given(data=st.data(), file=st.sampled_from(FILES[1:3]), value=JSON)
def test_changed_values(run, tmp_path_factory, data, file, value):
    """One value somewhere in the JSON is replaced: sizes, names, types, whole branches."""
    copy = tmp_path_factory.mktemp("copy") / "run"
    shutil.copytree(run, copy)
    document = json.loads((copy / file).read_text())
    path = data.draw(st.sampled_from([p for p in _places(document) if p]))
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    (copy / file).write_text(json.dumps(document))
    opens_or_explains(copy)
