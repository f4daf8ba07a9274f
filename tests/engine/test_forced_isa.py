"""The instruction set can be forced, and only to one that is there."""

from __future__ import annotations

import pytest

from echoic.engine.execute import check_forced_instruction_set
from echoic.errors import BackendError


def test_an_unknown_instruction_set_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("", "scalar"):
        monkeypatch.setenv("ECHOIC_ISA", name)
        check_forced_instruction_set()
    monkeypatch.setenv("ECHOIC_ISA", "avx1024")
    with pytest.raises(BackendError, match=r'found "avx1024", expected one of .*scalar'):
        check_forced_instruction_set()
