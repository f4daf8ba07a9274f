"""Where the development data sets lie, if they do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("ECHOIC_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data"


def shared_data(name: str) -> Path:
    """Path of a development data set; skips the test where it is absent."""
    path = ROOT / name
    if not path.exists():
        pytest.skip(f"development data set {name} is not here ({path}); set ECHOIC_SHARED to the folder above data/")
    return path
