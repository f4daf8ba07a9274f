"""Whatever bytes arrive, the readers either succeed or raise an error that the user can mend."""

from __future__ import annotations

import contextlib
import gzip
import io
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echoic.data.panel_reader import Reading, read_panel
from echoic.data.table import read_table
from echoic.errors import UserError

VALID = b"".join(
    [b"date,store,sales,price\n"]
    + [
        b"2024-01-%02d,%s,%d.5,%d\n" % (day, store, day * 3, day % 5)
        for store in (b"a", b'"b, c"')
        for day in range(1, 29)
    ]
)
QUIET = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))


def parquet() -> bytes:
    buffer = io.BytesIO()
    pl.DataFrame({"t": np.arange(30), "y": np.arange(30) * 0.5}).write_parquet(buffer)
    return buffer.getvalue()


def survives(content: bytes, ending: str) -> None:
    """Read as a table and as a panel; only errors of the user's kind may come out."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"table{ending}"
        path.write_bytes(content)
        for read in (read_table, read_panel, lambda source: read_panel(source, reading=Reading(duplicates="mean"))):
            with contextlib.suppress(UserError):
                read(path)


@QUIET
@given(
    content=st.binary(max_size=400), ending=st.sampled_from([".csv", ".tsv", ".jsonl", ".csv.gz", ".parquet", ".txt"])
)
def test_any_bytes(content: bytes, ending: str):
    survives(content, ending)


@QUIET
@given(
    text=st.text(alphabet='ab",;\t\n\r 0123456789.-eEnanif:TZ/é中', max_size=200),
    ending=st.sampled_from([".csv", ".tsv", ".txt"]),
)
def test_any_text(text: str, ending: str):
    survives(text.encode(), ending)


@QUIET
@given(
    edits=st.lists(
        st.tuples(
            st.integers(0, len(VALID)),
            st.integers(0, 12),
            st.binary(max_size=6) | st.sampled_from([b'"', b"\n", b",", b"\xff"]),
        ),
        min_size=1,
        max_size=5,
    ),
    packed=st.booleans(),
)
def test_mutated_csv(edits: list[tuple[int, int, bytes]], packed: bool):
    content = VALID
    for place, removed, inserted in edits:
        content = content[:place] + inserted + content[place + removed :]
    survives(gzip.compress(content, 1) if packed else content, ".csv.gz" if packed else ".csv")


@QUIET
@given(place=st.integers(0, 600), inserted=st.binary(min_size=1, max_size=8), cut=st.integers(0, 700))
def test_mutated_gzip_and_parquet(place: int, inserted: bytes, cut: int):
    for content, ending in ((gzip.compress(VALID), ".csv.gz"), (parquet(), ".parquet")):
        changed = content[:place] + inserted + content[place + len(inserted) :]
        survives(changed[: max(cut, 1)] if cut < 350 else changed, ending)


@QUIET
@given(
    values=st.lists(
        st.sampled_from(
            [
                "2024-01-01",
                "2024-01-02",
                "2023-12",
                "5",
                "-1",
                "",
                "x",
                "1e400",
                "1e39",
                "inf",
                "nan",
                "9" * 30,
                "2024Q1",
                "31/12/2024",
                "0.1",
            ]
        ),
        min_size=2,
        max_size=12,
    ),
    times=st.lists(
        st.sampled_from(
            [
                "2024-01-01",
                "2024-01-02",
                "9999-12-31",
                "0001-01-01",
                "2024-02-30",
                "1",
                "99999999999999999999",
                "-5",
                "",
            ]
        ),
        min_size=12,
        max_size=12,
    ),
)
def test_strange_cells(values: list[str], times: list[str]):
    rows = "".join(f"{time},{value}\n" for time, value in zip(times, values, strict=False))
    survives(b"date,y\n" + rows.encode(), ".csv")


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"a": ' * 5000,
        b'{"a": 1e999}',
        b'{"a": "\\ud800"}',
        b'{"a": [1]}',
        b"5",
        b'{"": 1}',
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
def test_strange_json(line: bytes):
    survives(b'{"a": 1}\n' + line + b"\n", ".jsonl")
