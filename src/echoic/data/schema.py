"""What is kept of a training table, as plain JSON, to read later tables in the same way."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from echoic.data.columns import Columns
from echoic.data.frequency import Frequency
from echoic.data.times import TimeFormat


class Schema(BaseModel):
    """How a table becomes a panel.

    columns: which column is what.
    frequency: the step between rows.
    time_format: how times were written.
    categories: the values of each covariate that holds texts, in the order of their codes or features.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: Columns
    frequency: Frequency
    time_format: TimeFormat
    categories: dict[str, tuple[str, ...]] = {}
