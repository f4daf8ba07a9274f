import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echoic.training.schedules import FLOOR, SCHEDULES, constant, cosine, one_cycle

shares = st.floats(0, 1)


@given(shares, shares, st.sampled_from(sorted(SCHEDULES)))
def test_every_factor_lies_between_floor_and_one(progress, warmup, name):
    assert FLOOR * (1 - 1e-9) <= SCHEDULES[name](progress, warmup) <= 1


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.3])
def test_one_cycle_rises_to_its_peak_and_falls_to_its_floor(warmup):
    factors = [one_cycle(i / 200, warmup) for i in range(201)]
    peak = round(200 * warmup)
    assert factors[peak] == pytest.approx(1.0)
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert factors[-1] == pytest.approx(FLOOR)


def test_cosine_at_a_third_of_the_way():
    assert cosine(1 / 3, 0.4) == pytest.approx(FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi / 3)) / 2)


def test_constant_is_level_after_its_warmup():
    assert constant(0.05, 0.2) == pytest.approx(FLOOR + (1 - FLOOR) / 4)
    assert [constant(p, 0.2) for p in (0.2, 0.5, 1.0)] == pytest.approx([1.0] * 3)
    assert constant(0.0, 0.0) == 1.0


def test_a_warmup_that_lasts_to_the_end():
    assert one_cycle(1.0, 1.0) == pytest.approx(1.0)
    assert constant(1.0, 1.0) == pytest.approx(1.0)
