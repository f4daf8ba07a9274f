"""Memory that nobody has written to holds NaN, so that reading it shows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture
def memory_full_of_nan() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)  # torch.empty is then filled with NaN
    assert torch.utils.deterministic.fill_uninitialized_memory
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
