"""Files of a run are written whole or not at all, and read within limits."""

from __future__ import annotations

import json

import pytest

from echoic.errors import RunError
from echoic.runs import files


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    target = tmp_path / "metrics.json"
    files.atomic_write_text(target, "old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        files.atomic_write_text(target, "new")
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]


def test_json_has_no_nan(tmp_path):
    target = tmp_path / "metrics.json"
    files.atomic_write_json(target, {"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": -float("inf")}})
    assert json.loads(target.read_text()) == {"a": None, "b": [None, 1.5], "c": {"d": None}}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"nul"], ids=["empty", "cut", "utf16", "deep", "word"]
)
def test_damaged_json_is_named(tmp_path, content):
    target = tmp_path / "config.json"
    target.write_bytes(content)
    with pytest.raises(RunError, match=r"config\.json"):
        files.read_json(target, "configuration")


def test_a_file_beyond_the_limit_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "JSON_LIMIT", 10)
    target = tmp_path / "config.json"
    target.write_text('{"a": 1234567890}')
    with pytest.raises(RunError, match="at most 10"):
        files.read_json(target, "configuration")
