"""Cut a panel in time: nothing is trained on that lies after what is tested."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from echoic.data.panel import Panel, Part
from echoic.data.wording import counted
from echoic.errors import DataError, OptionError
from echoic.notices import notice

LONG = 30  # horizons: series of this median length are cut by shares, shorter ones keep one horizon back for each part
SHARES = (0.7, 0.1, 0.2)


class Cut(NamedTuple):
    """The three parts of a panel. Validation and test look back into earlier parts for inputs only."""

    train: Part
    validation: Part
    test: Part


def cut(panel: Panel, horizon: int, split: str | None = None) -> Cut:
    """Cut each series into training, validation and test.

    Args:
        panel: the series.
        horizon: steps of a forecast.
        split: rows as "8640/2880/2880", counted from the start of each series (later rows are left out), or shares as
            "0.7/0.1/0.2". Shares cut a panel of several dated series at two common times. None: shares of 0.7/0.1/0.2
            where the median series has 30 horizons or more, else the last horizon for test and the one before for
            validation.

    Series too short for a validation and a test window serve training alone; that is said.
    Raises OptionError for a split that cannot be read, DataError if no series is left for training.
    """
    length = panel.history
    if split is None:
        long = np.median(length) >= LONG * horizon
        bounds = _by_shares(panel, SHARES) if long else _last_horizons(length, horizon)
    else:
        numbers = parse_split(split)
        bounds = _by_shares(panel, numbers) if sum(numbers) <= 1 else _by_rows(length, numbers)
    parts = [Part(panel, begin, end) for begin, end in itertools.pairwise(bounds)]
    return _checked(Cut(*parts), horizon)


def hold_out(panel: Panel, horizon: int, split: str | None = None) -> tuple[Part, Part]:
    """Training and validation where the test data lie in a file of their own: the panel's end is validation.

    ``split`` is as in ``cut``; its third number may be 0 or absent.
    """
    if split is None:
        length = panel.history
        share = 0.1 if np.median(length) >= LONG * horizon else 0.0
        size = np.maximum((length * share).astype(np.int64), horizon)
        border = np.where(length > 2 * horizon, length - size, length)
        train, validation = Part(panel, np.zeros_like(length), border), Part(panel, border, length)
        _enough(train, horizon)
        return train, validation
    pieces = split.split("/")
    parts = cut(panel, horizon, split if len(pieces) == 3 else f"{split}/0")
    return parts.train, parts.validation


def later_part(joined: Panel, later: Panel) -> Part:
    """The part of a panel read from two files whose targets are the rows of the second: [earlier, later] joined.

    Raises DataError if the second file has none of the first one's series.
    """
    names = list(joined.ids.columns)
    if names:
        rows = later.ids.with_columns(later=later.history)
        added = joined.ids.join(rows, on=names, how="left", maintain_order="left")["later"].fill_null(0).to_numpy()
    else:
        added = later.history
    if not added.any():
        raise DataError(later.source, "none of the series trained on", "rows that continue them", "Check the names.")
    return Part(joined, joined.history - added, joined.history)


def parse_split(split: str) -> tuple[float, float, float]:
    """Three numbers: whole ones are rows, those that add up to 1 or less are shares. Raises OptionError."""
    try:
        numbers = tuple(float(piece) for piece in split.split("/"))
    except ValueError:
        numbers = ()
    rows = all(number == int(number) for number in numbers if np.isfinite(number))
    fine = len(numbers) == 3 and all(np.isfinite(numbers)) and min(numbers) >= 0 and numbers[0] > 0
    if not fine or not (rows or sum(numbers) <= 1 + 1e-9):
        raise OptionError(
            f'split: found "{split}", expected training, validation and test as rows, 8640/2880/2880, or as shares, '
            "0.7/0.1/0.2."
        )
    return numbers if rows else tuple(number / max(1.0, sum(numbers)) for number in numbers)  # type: ignore[return-value]


def _by_rows(length: NDArray[np.int64], rows: tuple[float, ...]) -> list[NDArray[np.int64]]:
    return [np.minimum(border, length) for border in np.concatenate([[0], np.cumsum(rows)]).astype(np.int64)]


def _by_shares(panel: Panel, shares: tuple[float, ...]) -> list[NDArray[np.int64]]:
    """Shares of each series; for several dated series times common to all, so that none tells of another's future."""
    length = panel.history
    borders = np.cumsum(shares)
    if len(panel) == 1 or not panel.frequency.dated:
        return [np.zeros_like(length), *((length * border + 1e-9).astype(np.int64) for border in borders)]
    inside = np.arange(len(panel.stamps)) < np.repeat(panel.offsets[:-1] + length, panel.lengths)
    stamps = np.sort(panel.stamps[inside])
    before = [np.zeros_like(length)]
    for border in borders:
        place = int(len(stamps) * border + 1e-9)
        earlier = inside & (panel.stamps < stamps[place]) if place < len(stamps) else inside
        before.append(np.add.reduceat(earlier.astype(np.int64), panel.offsets[:-1]))
    return before


def _last_horizons(length: NDArray[np.int64], horizon: int) -> list[NDArray[np.int64]]:
    """A horizon for test and one for validation, from series that keep a window for training."""
    enough = length > 3 * horizon
    held = np.where(enough, horizon, 0)
    return [np.zeros_like(length), length - 2 * held, length - held, length]


def _checked(parts: Cut, horizon: int) -> Cut:
    _enough(parts.train, horizon)
    for name, part in (("validation", parts.validation), ("test", parts.test)):
        asked = int((part.begin < part.panel.history).any() and (part.end > part.begin).any())
        if asked and not (part.lengths >= horizon).any():
            raise DataError(
                part.panel.source, f"at most {counted(int(part.lengths.max()), 'row')} of a series in the {name} part",
                f"at least {horizon}", "Give more rows, a smaller --horizon, or another --split.",
            )  # fmt: skip
    idle = int(np.count_nonzero((parts.test.lengths < horizon) & (parts.train.lengths > horizon)))
    if idle and parts.test.lengths.any():
        notice(f"{idle} of {len(parts.train.panel)} series have no whole test window of {horizon} rows: training only.")
    return parts


def _enough(train: Part, horizon: int) -> None:
    long_enough = train.lengths > horizon
    if not long_enough.any():
        raise DataError(
            train.panel.source, f"at most {counted(int(train.lengths.max(initial=0)), 'row')} of a series for training",
            f"at least {horizon + 1}, the horizon and one more",
            "Give longer series, a smaller --horizon, or another --split.",
        )  # fmt: skip
    dropped = int(np.count_nonzero(~long_enough & (train.panel.history > 0)))
    if dropped:
        notice(
            f"{dropped} of {len(train.panel)} series have fewer than {horizon + 1} rows for training (the horizon and "
            "one more): not trained on."
        )
