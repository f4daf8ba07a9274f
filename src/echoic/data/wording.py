"""Numbers with their nouns, for messages."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """``1 row``, ``2 rows``, ``5,000 series``: a number with its noun."""
    return f"{number:,} {noun}" + ("" if number == 1 or noun.endswith("s") else "s")
