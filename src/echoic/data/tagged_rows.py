"""A sentence in each row: blanks between its tokens in one column and between their tags in another, as in SNIPS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from echoic.data.tagged import Layout, Sentences
from echoic.errors import DataError


def read_rows(lines: list[str], source: str, layout: Layout) -> Sentences:
    """Sentences of a file of tab-separated rows.

    Raises DataError with the row whose tokens and tags differ in number, that lacks a column or has no token.
    """
    tokens, tags, rows, intents = [], [], [], []
    tagged, with_intent = layout.tags is not None, layout.intent is not None
    needed = max(layout.tokens, 0 if layout.intent is None else layout.intent)
    for row, line in enumerate(lines, 1):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) <= layout.tokens or (layout.intent is None and len(cells) <= needed):
            raise DataError(
                source, f"{len(cells)} columns", f"the tokens in column {layout.tokens + 1}",
                "Mend the row; columns are separated by tabs.", row,
            )  # fmt: skip
        words = cells[layout.tokens].split()
        if not words:
            raise DataError(
                source, "no token", "tokens with blanks between them", "Fill it in, or remove the row.", row
            )
        tokens.append(words)
        rows.append([row] * len(words))
        tagged = tagged and layout.tags is not None and layout.tags < len(cells)
        if tagged and layout.tags is not None:
            tags.append(_matched(cells[layout.tags].split(), words, source, row))
        with_intent = with_intent and layout.intent is not None and layout.intent < len(cells)
        if with_intent and layout.intent is not None:
            intents.append(cells[layout.intent].strip())
    return Sentences(
        source, tokens, tags if tagged else None, rows, intents if with_intent else None, lines, layout
    )  # fmt: skip


def write_rows(sentences: Sentences, tags: Sequence[Sequence[str]], intents: Sequence[str] | None) -> str:
    """The file with these tags, and intents, in their columns; columns that are missing are added."""
    layout, lines = sentences.layout, list(sentences.lines)
    for number, (rows, chosen) in enumerate(zip(sentences.rows, tags, strict=True)):
        filled = [(layout.tags, " ".join(chosen))]
        if intents is not None:
            filled.append((layout.intent, intents[number]))
        cells = lines[rows[0] - 1].split("\t")
        for column, text in filled:
            assert column is not None
            cells += [""] * (column + 1 - len(cells))
            cells[column] = text
        lines[rows[0] - 1] = "\t".join(cells)
    return "\n".join(lines)


def from_frame(
    frame: pl.DataFrame, source: str, columns: tuple[str, str | None, str | None], numbers: Sequence[int]
) -> Sentences:
    """Sentences of a table in memory or read from CSV, Parquet or JSON lines, a sentence in each row.

    Args:
        frame: tokens and tags are lists of texts, or texts with blanks between them.
        source: for messages.
        columns: of tokens, tags and intents; the latter two may be None.
        numbers: of the rows as an editor shows them.
    """
    named_tokens, named_tags, named_intent = columns
    for name in columns:
        if name is not None and name not in frame.columns:
            raise DataError(
                source, f"the columns {', '.join(frame.columns)}", f'a column "{name}"',
                "Name the columns: --tokens NAME --tags NAME.",
            )  # fmt: skip
    tokens = [_words(value, source, row) for row, value in zip(numbers, frame[named_tokens], strict=True)]
    tags = None
    if named_tags is not None:
        pairs = zip(numbers, frame[named_tags], tokens, strict=True)
        tags = [_matched(_words(value, source, row), words, source, row) for row, value, words in pairs]
    intents = None
    if named_intent is not None:
        intents = ["" if value is None else str(value).strip() for value in frame[named_intent]]
    rows = [[row] * len(words) for row, words in zip(numbers, tokens, strict=True)]
    return Sentences(source, tokens, tags, rows, intents, table=frame)


def _words(value: Any, source: str, row: int) -> list[str]:
    words = value.split() if isinstance(value, str) else [str(word) for word in (value if value is not None else [])]
    if not words or not all(word.strip() for word in words):
        raise DataError(
            source, f"{str(value)[:60]!r}", "tokens, none of them empty", "Fill it in, or remove the row.", row
        )
    return words


def _matched(tags: list[str], words: list[str], source: str, row: int) -> list[str]:
    if len(tags) != len(words):
        raise DataError(
            source, f"{len(words)} tokens and {len(tags)} tags", "a tag for each token",
            "Mend the row; tokens and tags are separated by blanks.", row,
        )  # fmt: skip
    return tags
