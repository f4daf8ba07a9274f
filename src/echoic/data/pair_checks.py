"""What is wrong with pairs before a model is trained on them: empty ones, unlikely lengths, what is trained on and
tested on. Everything found is said with its row numbers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from echoic.data.pairs import Pairs
from echoic.data.wording import counted
from echoic.errors import DataError
from echoic.notices import notice

SHOWN = 5  # row numbers in a message
UNLIKELY = 4.0  # times the usual ratio of lengths, or its inverse
SHORT = 20  # characters by which lengths must differ besides


def usable_pairs(pairs: Pairs) -> Pairs:
    """The pairs that have text on both sides; says which were left out. DataError if none is left."""
    pairs = pairs.with_targets()
    full = [bool(s.strip()) and bool(t and t.strip()) for s, t in zip(pairs.sources, pairs.targets, strict=True)]
    if not any(full):
        raise DataError(pairs.origin, "no pair with text on both sides", "pairs of texts", "Check the columns.")
    if not all(full):
        empty = [row for row, whole in zip(pairs.rows, full, strict=True) if not whole]
        notice(f"{pairs.origin}: {counted(len(empty), 'pair')} with an empty side left out ({_rows(empty)}).")
    return pairs.take(np.flatnonzero(full))


def unlikely_lengths(pairs: Pairs) -> np.ndarray:
    """Numbers of pairs whose lengths do not fit each other, which is often a wrong alignment.

    Lengths are in characters; the usual ratio is the median. Pairs that differ by few characters are fine.
    """
    source, target = (np.array([len(t or "") for t in side], float) for side in (pairs.sources, pairs.targets))
    ratio = (target + 1) / (source + 1)
    usual = float(np.median(ratio))
    strange = np.abs(np.log(ratio / usual)) > np.log(UNLIKELY)
    return np.flatnonzero(strange & (np.abs(target - usual * source) > SHORT))


def check_lengths(pairs: Pairs, leave_out: bool) -> Pairs:
    """Say which pairs have unlikely lengths, and leave them out if wanted."""
    found = unlikely_lengths(pairs)
    if not len(found):
        return pairs
    what = "left out" if leave_out else "kept; --set drop_unlikely=true leaves them out"
    notice(
        f"{pairs.origin}: {counted(len(found), 'pair')} where one side is more than {UNLIKELY:g} times as long as is "
        f"usual beside the other ({_rows(pairs.rows[i] for i in found)}): {what}."
    )
    return pairs.take(np.setdiff1d(np.arange(len(pairs)), found)) if leave_out else pairs


def check_shorter(pairs: Pairs, leave_out: bool) -> Pairs:
    """Say which targets are no shorter than their sources, as summaries are to be, and leave them out if wanted."""
    whole = [len(t or "") >= len(s) for s, t in zip(pairs.sources, pairs.targets, strict=True)]
    if not any(whole):
        return pairs
    found = [row for row, is_whole in zip(pairs.rows, whole, strict=True) if is_whole]
    what = "left out" if leave_out else "kept; --set drop_unlikely=true leaves them out"
    notice(f"{pairs.origin}: {counted(len(found), 'target')} no shorter than the text ({_rows(found)}): {what}.")
    return pairs.take(np.flatnonzero(np.logical_not(whole))) if leave_out else pairs


def check_overlap(train: Pairs, held: Pairs, name: str) -> None:
    """Say which pairs of a part that is to be tested on are trained on, too."""
    seen = {(_key(s), _key(t or "")): row for s, t, row in zip(train.sources, train.targets, train.rows, strict=True)}
    keys = [(_key(s), _key(t or "")) for s, t in zip(held.sources, held.targets, strict=True)]
    twice = [(row, seen[key]) for row, key in zip(held.rows, keys, strict=True) if key in seen]
    if twice:
        places = ", ".join(f"row {row} is row {other}" for row, other in twice[:SHOWN])
        notice(
            f"{held.origin}: {counted(len(twice), 'pair')} of the {name} data also in the training data "
            f"({places}{', ...' if len(twice) > SHOWN else ''}): the {name} result is too good by what was learnt by "
            "heart."
        )


def pair_parts(
    pairs: Pairs, shares: list[float], seed: int, together: tuple[str, ...] = ("sources", "targets")
) -> list[Pairs]:
    """Cut pairs in parts at random; pairs with an equal text on one of the sides ``together`` stay in one part.

    Args:
        shares: share of each further part, 0 to 1; a share of 0 gives an empty part.
        seed: of the choice.
        together: sides whose equal texts are kept together: sources, targets or both.

    Returns:
        The parts, first the one of what the shares leave. A further part is empty only where all pairs hang together.
    """
    groups = _groups(pairs, together)
    sizes = np.bincount(groups)
    left = np.random.default_rng(seed).permutation(len(sizes))
    parts = []
    for share in shares:
        chosen = _up_to(sizes[left], share * len(pairs))
        parts.append(pairs.take(np.flatnonzero(np.isin(groups, left[chosen]))))
        left = left[~chosen]
    return [pairs.take(np.flatnonzero(np.isin(groups, left))), *parts]


def _up_to(sizes: np.ndarray, wanted: float) -> np.ndarray:
    """Which groups of these sizes to take, from the first on, so that they have ``wanted`` members at most; where none
    fits, the smallest. Bool, [G]."""
    chosen, count = np.zeros(len(sizes), bool), 0
    for number, size in enumerate(sizes.tolist()):
        if count + size <= wanted + 1e-9:
            chosen[number], count = True, count + size
    if wanted and not count and len(sizes) > 1:
        chosen[np.argmin(sizes)] = True
    return chosen


def _groups(pairs: Pairs, together: tuple[str, ...]) -> np.ndarray:
    """Number of each pair's group, [N]: those that share a text of these sides, directly or through others."""
    parent = list(range(len(pairs)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for side in together:
        first: dict[str, int] = {}
        for number, text in enumerate(getattr(pairs, side)):
            if text is not None:
                parent[root(number)] = root(first.setdefault(_key(text), number))
    return np.unique([root(i) for i in range(len(pairs))], return_inverse=True)[1]


def _key(text: str) -> str:
    return " ".join(text.lower().split())


def _rows(rows: Iterable[int]) -> str:
    rows = list(rows)
    more = f" and {len(rows) - SHOWN:,} more" if len(rows) > SHOWN else ""
    return f"{'row' if len(rows) == 1 else 'rows'} {', '.join(map(str, rows[:SHOWN]))}{more}"
