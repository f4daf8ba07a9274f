"""Roles of columns: guessed as a person would, said, and never taken silently for a name that does not exist."""

from __future__ import annotations

import polars as pl
import pytest
from tests.shared_data import shared_data

from echoic.data.columns import Columns, resolve_columns
from echoic.data.table import Table, open_table
from echoic.errors import DataError, OptionError
from echoic.notices import collected

DAYS = [f"2024-01-{day:02d}" for day in range(1, 11)]


def table(**columns: list) -> Table:
    return Table("table", pl.DataFrame(columns))


def roles(**named: tuple[str, ...] | str) -> dict[str, tuple[str, ...]]:
    return Columns.model_validate(named).named()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("etth1/ETTh1.csv.gz", roles(time="date", target=("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"))),
        (
            "aus-retail/aus_retail.csv.gz",
            roles(time="month", series=("series_id",), target=("turnover",), static=("state", "industry")),
        ),
        (
            "gafa-stock/gafa_stock.csv.gz",
            roles(time="date", series=("symbol",), target=("open", "high", "low", "close", "adj_close", "volume")),
        ),
        ("exchange-rate/exchange_rate.txt.gz", roles(target=tuple(f"column_{i}" for i in range(1, 9)))),
    ],
)
def test_guesses_on_real_tables(name: str, expected: dict):
    with collected() as notices:
        found = resolve_columns(open_table(shared_data(f"forecasting/{name}")), Columns())
    assert found.named() == expected
    assert "Columns guessed" in notices[-1]


def test_series_of_two_columns():
    """Neither the state nor the store alone tells rows of one day apart; both together do."""
    found = resolve_columns(
        table(day=DAYS[:2] * 4, state=list("aaaabbbb"), shop=list("ccddccdd"), sales=list(range(8))), Columns()
    )
    assert found == Columns(time="day", series=("state", "shop"), target=("sales",))


def test_row_numbers_are_no_series():
    found = resolve_columns(table(id=list(range(10)), date=DAYS, y=list(range(10))), Columns())
    assert (found.series, found.target) == ((), ("y",))


def test_named_columns_are_kept():
    given = Columns(time="date", target="b", known="a, c")
    found = resolve_columns(table(date=DAYS, a=[1] * 10, b=[2] * 10, c=[3] * 10, d=[4] * 10), given)
    assert found == Columns(time="date", target=("b",), known=("a", "c"))


def test_nothing_is_said_where_all_is_named():
    with collected() as notices:
        resolve_columns(table(date=DAYS, a=[1] * 10), Columns(time="date", target="a", series=()))
    assert notices == []


def test_a_stray_text_does_not_hide_a_column():
    found = resolve_columns(table(date=[*DAYS[:9], "soon"], y=["1"] * 9 + ["n/a"]), Columns())
    assert (found.time, found.target) == ("date", ("y",))


def test_faults():
    columns = table(date=DAYS, y=[1] * 10, note=["x"] * 10, void=[None] * 10)
    with pytest.raises(OptionError, match=r'target: there is no column "z".*date, y, note, void'):
        resolve_columns(columns, Columns(target="z"))
    with pytest.raises(OptionError, match='"y" is named twice, as target and as past'):
        resolve_columns(columns, Columns(target="y", past="y"))
    with pytest.raises(DataError, match=r'"void": no value at all'):
        resolve_columns(Table("table", columns.frame.drop("y")), Columns())
