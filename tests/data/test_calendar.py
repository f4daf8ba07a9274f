"""Calendar features agree with Python's own calendar."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from echoic.data.calendar import calendar_features, calendar_names
from echoic.data.frequency import DAY, HOUR, MINUTE, WEEK, FixedStep, IntegerStep, MonthStep

EPOCH = dt.datetime(1970, 1, 1)
TRUTH = {
    "minute of hour": lambda t: t.minute / 59 - 0.5,
    "hour of day": lambda t: (t.hour + t.minute / 60 + t.second / 3600) / 24 - 0.5,
    "day of week": lambda t: t.weekday() / 6 - 0.5,
    "day of month": lambda t: (t.day - 1) / 30 - 0.5,
    "day of year": lambda t: (t.timetuple().tm_yday - 1) / 365 - 0.5,
    "month of year": lambda t: (t.month - 1) / 11 - 0.5,
}


@pytest.mark.parametrize("step", [MINUTE, HOUR, DAY, WEEK])
@pytest.mark.parametrize("crowded", [True, False])
def test_features_agree_with_python(step: int, crowded: bool):
    """Both where days repeat (worked out once) and where they are far apart, before and after 1970."""
    random = np.random.default_rng(step % 97)
    span = 20 if crowded else 40_000
    stamps = random.integers(-span, span, size=500) * DAY + random.integers(0, DAY, size=500) // 10**6 * 10**6
    frequency = FixedStep(microseconds=step)
    features = calendar_features(stamps, frequency)
    times = [EPOCH + dt.timedelta(microseconds=int(stamp)) for stamp in stamps]
    truth = np.array([[TRUTH[name](time) for name in calendar_names(frequency)] for time in times])
    np.testing.assert_allclose(features, truth, atol=1e-6)
    assert features.dtype == np.float32
    assert np.abs(features).max() <= 0.5


def test_only_what_varies():
    assert calendar_names(IntegerStep()) == ()
    assert calendar_names(MonthStep(months=12)) == ()
    assert calendar_names(MonthStep(months=1)) == ("month of year",)
    assert "hour of day" not in calendar_names(FixedStep(microseconds=DAY))
    assert calendar_features(np.arange(5), IntegerStep()).shape == (5, 0)
