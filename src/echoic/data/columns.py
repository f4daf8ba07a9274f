"""Which column of a table is what: named by the user, or guessed and said."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
from pydantic import BaseModel, ConfigDict, field_validator

from echoic.data.table import Table
from echoic.data.times import looks_like_time
from echoic.errors import DataError, OptionError
from echoic.notices import notice

TIME_NAMES = (
    "date",
    "datetime",
    "time",
    "timestamp",
    "ds",
    "month",
    "week",
    "day",
    "quarter",
    "year",
    "period",
    "hour",
)
COUNTER_NAMES = (*TIME_NAMES, "t", "step", "index", "time_idx", "frame")
SERIES_NAMES = (
    "series",
    "series_id",
    "unique_id",
    "item_id",
    "id",
    "symbol",
    "ticker",
    "sensor",
    "station",
    "store",
    "item",
    "key",
)
TARGET_NAMES = ("target", "y", "value", "values")
SAMPLE = 1000


class Columns(BaseModel):
    """Roles of columns.

    time: when; None for row numbers.
    target: what is forecast, one or several.
    series: what tells series apart; several columns together where one does not.
    known: covariates known in the future; past: covariates known in the past only.
    static: what stays the same within a series.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: str | None = None
    target: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    static: tuple[str, ...] = ()

    @field_validator("target", "series", "known", "past", "static", mode="before")
    @classmethod
    def _names(cls, names: str | Iterable[str] | None) -> tuple[str, ...]:
        """One name, several, or several with commas between, as the command line has them."""
        if names is None:
            return ()
        return tuple(name.strip() for name in names.split(",")) if isinstance(names, str) else tuple(names)

    def named(self) -> dict[str, tuple[str, ...]]:
        """Columns by option."""
        return {
            "time": (self.time,) if self.time else (), "target": self.target, "series": self.series,
            "known": self.known, "past": self.past, "static": self.static,
        }  # fmt: skip

    def all_names(self) -> tuple[str, ...]:
        """The names of all that have a role."""
        return tuple(name for names in self.named().values() for name in names)


def resolve_columns(table: Table, columns: Columns) -> Columns:
    """The columns with those that were not named guessed from the table, which is said.

    Raises OptionError for a name that is no column or has two roles, DataError if no target can be found.
    """
    check_columns(table, columns)
    taken = {name for names in columns.named().values() for name in names}
    free = [name for name in table.frame.columns if name not in taken]
    guessed: dict[str, tuple[str, ...]] = {}
    kinds = {name: _kind(table, name) for name in free}
    if columns.time is None:
        guessed["time"] = tuple(_guess_time(free, kinds))
        free = [name for name in free if name not in guessed["time"]]
    time = columns.time or next(iter(guessed.get("time", ())), None)
    if not columns.series:
        guessed["series"] = _guess_series(table, free, kinds, time)
        free = [name for name in free if name not in guessed["series"]]
    series = columns.series or guessed.get("series", ())
    if not columns.target:
        guessed["target"] = _guess_target(free, kinds)
        free = [name for name in free if name not in guessed["target"]]
        if not guessed["target"]:
            empty = [name for name, kind in kinds.items() if kind == "empty"]
            raise DataError(
                table.source, f"no column of numbers to forecast among {_list(tuple(table.frame.columns))}"
                + (f" ({_list(tuple(empty))}: no value at all)" if empty else ""),
                "at least one", "Name it with --target, or give a table that has one.",
            )  # fmt: skip
    if not columns.static and series:
        guessed["static"] = _guess_static(table, [name for name in free if kinds[name] == "text"], series)
    used = {name for names in guessed.values() for name in names} | taken
    _say(guessed, columns, tuple(name for name in table.frame.columns if name not in used))
    names = {role: value for role, value in guessed.items() if role != "time"}
    return columns.model_copy(update={"time": time, **names})


def check_columns(table: Table, columns: Columns) -> None:
    """OptionError for a name that is no column of the table, or that has two roles."""
    roles: dict[str, str] = {}
    for role, names in columns.named().items():
        for name in names:
            if name not in table.frame.columns:
                raise OptionError(
                    f'{role}: there is no column "{name}" in {table.source}. '
                    f"The columns are {', '.join(table.frame.columns)}."
                )
            if name in roles:
                raise OptionError(f'column "{name}" is named twice, as {roles[name]} and as {role}; keep one.')
            roles[name] = role


def _kind(table: Table, name: str) -> str:
    """number, time, text, empty or other, from the first values that are not missing."""
    values = table.values(name).drop_nulls().head(SAMPLE)
    if values.is_empty():
        return "empty"
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        return "number"
    # Some text in a column of numbers is an error to be shown, not a reason to overlook the column.
    if values.dtype == pl.String and table.read_numbers(values).null_count() < 0.5 * len(values):
        return "number"
    if looks_like_time(values):
        return "time"
    return "text" if values.dtype == pl.String else "other"


def _guess_time(free: list[str], kinds: dict[str, str]) -> list[str]:
    times = [name for name in free if kinds[name] == "time"]
    by_name = [name for name in times if name.lower() in TIME_NAMES]
    counters = [name for name in free if kinds[name] == "number" and name.lower() in COUNTER_NAMES]
    return (by_name or times or counters)[:1]


def _guess_series(table: Table, free: list[str], kinds: dict[str, str], time: str | None) -> tuple[str, ...]:
    labels = [name for name in free if kinds[name] == "text"]
    numbered = [name for name in free if kinds[name] == "number" and name.lower() in SERIES_NAMES]
    for name in (name for known in SERIES_NAMES for name in (*labels, *numbered) if name.lower() == known):
        if table.frame[name].n_unique() < table.height:
            return (name,)
    if time is None or not table.frame[time].is_duplicated().any():
        return ()
    for names in (*((label,) for label in labels), tuple(labels)):
        if names and not table.frame.select(time, *names).is_duplicated().any():
            return names
    return ()


def _guess_target(free: list[str], kinds: dict[str, str]) -> tuple[str, ...]:
    numbers = [name for name in free if kinds[name] == "number"]
    named = [name for name in numbers if name.lower() in TARGET_NAMES]
    return tuple(named[:1] or numbers)


def _guess_static(table: Table, labels: list[str], series: tuple[str, ...]) -> tuple[str, ...]:
    """Texts that are the same in all rows of a series and shared by several series."""
    if not labels:
        return ()
    count = table.frame.select(series).n_unique()
    most = table.frame.group_by(series).agg(pl.col(labels).n_unique()).select(pl.col(labels).max()).row(0)
    return tuple(
        label for label, kinds in zip(labels, most, strict=True) if kinds == 1 and table.frame[label].n_unique() < count
    )


def _say(guessed: dict[str, tuple[str, ...]], columns: Columns, unused: tuple[str, ...]) -> None:
    found = [f"{role} {_list(names)}" for role, names in guessed.items() if names]
    if columns.time is None and not guessed.get("time"):
        found.insert(0, "no time column (rows are taken in their order)")
    left = f"; not used: {_list(unused)}" if unused else ""
    if found:
        notice(f"Columns guessed: {'; '.join(found)}{left}. Say otherwise with --time, --series, --target, --static.")


def _list(names: tuple[str, ...]) -> str:
    shown = ", ".join(f'"{name}"' for name in names[:8])
    return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"
