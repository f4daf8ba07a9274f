"""Sentences with a tag for each token, as they came, and how they stand in their file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl
from pydantic import BaseModel, ConfigDict, Field


class Layout(BaseModel):
    """How sentences stand in a file. Columns are counted from 0.

    Attributes:
        form: key of ``tagged_files.FORMS``.
        tokens, tags, intent: columns; None where there is none.
        separator: between columns: a tab, or "" for any run of blanks; between token and tag where they are joined.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    form: str
    tokens: int = Field(default=0, ge=0)
    tags: int | None = Field(default=None, ge=0)
    intent: int | None = Field(default=None, ge=0)
    separator: str = "\t"


@dataclass(frozen=True)
class Sentences:
    """A tagged corpus.

    source: file it came from, or "list" and the like for data in memory.
    tokens: of each sentence, never empty texts.
    tags: one for each token, or None where there are none.
    rows: line of each token as an editor shows it.
    intents: class of each sentence, "" where a row names none, or None.
    lines: the file's lines, into which predictions are written; empty for data in memory.
    layout: how they stand there.
    table: the table they came from, a sentence in each row, or None.
    """

    source: str
    tokens: list[list[str]]
    tags: list[list[str]] | None
    rows: list[list[int]]
    intents: list[str] | None = None
    lines: list[str] = field(default_factory=list)
    layout: Layout = field(default_factory=lambda: Layout(form="memory"))
    table: pl.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def token_count(self) -> int:
        """Tokens of all sentences."""
        return sum(map(len, self.tokens))

    def take(self, numbers: Sequence[int]) -> Sentences:
        """The sentences with these numbers, in this order; without the lines of the file."""
        tokens, rows = [self.tokens[i] for i in numbers], [self.rows[i] for i in numbers]
        tags = None if self.tags is None else [self.tags[i] for i in numbers]
        intents = None if self.intents is None else [self.intents[i] for i in numbers]
        return Sentences(self.source, tokens, tags, rows, intents, [], self.layout)

    def with_tags(self, tags: list[list[str]] | None) -> Sentences:
        """The same sentences with other tags."""
        return Sentences(self.source, self.tokens, tags, self.rows, self.intents, self.lines, self.layout, self.table)
