"""Every registered cell, in every variant, on every backend that takes it, under every check."""

from __future__ import annotations

import pytest
import torch
from tests.conformance.cases import CASES, ENGINES, Case, Engine, takes
from tests.conformance.checks import CHECKS, FLOAT64_CHECKS, RESET_CHECKS, Check

pytestmark = pytest.mark.usefixtures("memory_full_of_nan")


def product(checks: list[Check], reset: bool = False) -> pytest.MarkDecorator:
    rows = [
        pytest.param(check, case, engine, id=f"{check.__name__}-{case}-{engine}")
        for check in checks
        for case in CASES
        for engine in ENGINES
        if takes(engine, case, reset) and (checks is not FLOAT64_CHECKS or engine.dtype == torch.float64)
    ]
    return pytest.mark.parametrize(("check", "case", "engine"), rows)


@product(CHECKS)
def test_backend(check: Check, case: Case, engine: Engine) -> None:
    check(case, engine.run, engine.dtype)


@product(FLOAT64_CHECKS)
def test_gradcheck(check: Check, case: Case, engine: Engine) -> None:
    check(case, engine.run, engine.dtype)


@product(RESET_CHECKS, reset=True)
def test_resets(check: Check, case: Case, engine: Engine) -> None:
    check(case, engine.run, engine.dtype)
