"""Tagged sentences from any source: which format a file has, which columns hold what, and predictions written alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from echoic.data.conll import UNIVERSAL, column_count, read_columns, read_universal, write_columns
from echoic.data.content import read_content
from echoic.data.nltk_formats import read_bracketed, read_joined, write_joined
from echoic.data.table import Table, open_table
from echoic.data.tagged import Layout, Sentences
from echoic.data.tagged_rows import from_frame, read_rows, write_rows
from echoic.data.words import split_words
from echoic.errors import DataError
from echoic.notices import notice

TABLES = (".csv", ".jsonl", ".ndjson", ".parquet")
LOOKED_AT = 200  # lines, to tell formats apart
NAMES = {  # by which columns of a table are known
    "tokens": ("tokens", "words", "token", "word", "text", "sentence"),
    "tags": ("tags", "labels", "slots", "ner_tags", "pos_tags", "tag"),
}

Reader = Callable[[list[str], str, Layout], Sentences]
Writer = Callable[[Sentences, Sequence[Sequence[str]], Sequence[str] | None], str]


class Form(NamedTuple):
    """A format: how it is read, and how predictions are written into it (None: not at all)."""

    read: Reader
    write: Writer | None


FORMS: dict[str, Form] = {
    "columns": Form(read_columns, write_columns),
    "conllu": Form(read_universal, write_columns),
    "rows": Form(read_rows, write_rows),
    "slashes": Form(read_joined, write_joined),
    "brackets": Form(read_bracketed, None),
}


class Asked(NamedTuple):
    """What the user said of a file; None or "auto" is guessed. Columns are names, or numbers from 1."""

    form: str = "auto"
    tokens: str | None = None
    tags: str | None = None
    intent: str | None = None


def read_sentences(source: Any, asked: Asked, fitted: Layout | None = None) -> Sentences:
    """Sentences of any source.

    Args:
        source: path of a file (also .gz); a polars DataFrame with a sentence in each row; a list of (tokens, tags) or
            (tokens, tags, intent), of lists of tokens, or of texts.
        asked: the user's word on format and columns.
        fitted: the layout trained on, which is kept where the file can have it.

    Raises DataError that names file, row and column.
    """
    if isinstance(source, pl.DataFrame):
        return _from_table(open_table(source), asked)
    if isinstance(source, (str, Path)) and not (isinstance(source, str) and "\n" in source):
        path = Path(source)
        if path.name.lower().removesuffix(".gz").endswith(TABLES):
            return _from_table(open_table(path), asked)
        found = _from_text(path, asked, fitted)
    elif isinstance(source, Sequence) and not isinstance(source, str):
        found = _from_memory(source)
    else:
        raise DataError(
            type(source).__name__, f"a {type(source).__name__}", "a path, a DataFrame or a list of sentences",
            "Pass the path of a file with tagged sentences.",
        )  # fmt: skip
    if not len(found):
        raise DataError(found.source, "no sentence", "sentences with tags", "Give a file with sentences in it.")
    return found


def _from_text(path: Path, asked: Asked, fitted: Layout | None) -> Sentences:
    lines = read_content(path).decode("utf-8").split("\n")
    name = path.name.lower().removesuffix(".gz")
    layout = fitted
    universal = name.endswith(".conllu")
    if fitted is None or fitted.form == "memory" or universal != (fitted.form == "conllu"):
        layout = guess_layout(lines, name, asked, str(path))
    assert layout is not None
    return FORMS[layout.form].read(lines, str(path), layout)


def guess_layout(lines: Sequence[str], name: str, asked: Asked, source: str) -> Layout:
    """Format and columns of a file, guessed where they are not given, and said.

    Raises DataError for an unknown column.
    """
    head = [line for line in lines[: 50 * LOOKED_AT] if line.strip()][:LOOKED_AT]
    form = asked.form if asked.form != "auto" else _guess_form(head, lines, name)
    layout = _LAYOUTS[form](head, asked, source)
    if asked.tokens is None and asked.tags is None:
        notice(f"{source}: read as {_described(layout)}; --format, --tokens and --tags say otherwise.")
    return layout


def _guess_form(head: Sequence[str], lines: Sequence[str], name: str) -> str:
    if name.endswith(".conllu"):
        return "conllu"
    rows = [line.split("\t") for line in head]
    if _pair_of_equal_counts(rows) is not None:
        return "rows"
    words = [word for line in head for word in line.split()]
    if "[" in words and "]" in words and sum("/" in word for word in words) > 0.5 * len(words):
        return "brackets"
    if sum("/" in word[1:-1] for word in words) > 0.95 * len(words):
        return "slashes"
    return "columns"


def _pair_of_equal_counts(rows: Sequence[Sequence[str]]) -> tuple[int, int] | None:
    """Two columns that have as many words as each other in each row, several of them: tokens and tags."""
    width = min(map(len, rows), default=0)
    counts = [[len(row[column].split()) for row in rows] for column in range(width)]
    for first in range(width):
        for second in range(first + 1, width):
            if counts[first] == counts[second] and max(counts[first]) > 1:
                return first, second
    return None


def _layout_of_columns(head: Sequence[str], asked: Asked, source: str) -> Layout:
    separator = "\t" if "\t" in head[0] else ""
    width = column_count(head, Layout(form="columns", separator=separator))
    tokens = 0 if asked.tokens is None else _number(asked.tokens, width, source)
    tags = max(1, width - 1) if asked.tags is None else _number(asked.tags, width, source)
    return Layout(form="columns", tokens=tokens, tags=tags, separator=separator)


def _layout_of_universal(head: Sequence[str], asked: Asked, source: str) -> Layout:
    tokens, tags = (_named(text, UNIVERSAL, source) for text in (asked.tokens or "form", asked.tags or "upos"))
    return Layout(form="conllu", tokens=tokens, tags=tags)


def _layout_of_rows(head: Sequence[str], asked: Asked, source: str) -> Layout:
    rows = [line.split("\t") for line in head]
    width = len(rows[0])
    pair = _pair_of_equal_counts(rows)
    tokens, tags, intent = (
        None if text is None else _number(text, width, source) for text in (asked.tokens, asked.tags, asked.intent)
    )
    if tokens is None:
        tokens = pair[0] if pair is not None else 0
    if tags is None:
        tags = pair[1] if pair is not None else None
    return Layout(form="rows", tokens=tokens, tags=tags, intent=intent)


def _layout_of_joined(head: Sequence[str], asked: Asked, source: str) -> Layout:
    return Layout(form="slashes", tags=0, separator="/")


def _layout_of_brackets(head: Sequence[str], asked: Asked, source: str) -> Layout:
    return Layout(form="brackets", tags=0, separator="/")


_LAYOUTS: dict[str, Callable[[Sequence[str], Asked, str], Layout]] = {
    "columns": _layout_of_columns,
    "conllu": _layout_of_universal,
    "rows": _layout_of_rows,
    "slashes": _layout_of_joined,
    "brackets": _layout_of_brackets,
}


def _number(text: str, width: int, source: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= width:
        raise DataError(
            source, f'the column "{text}" asked for', f"a number from 1 to {width}: the columns have no names",
            "Name columns by their numbers, as in --tokens 1 --tags 3.",
        )  # fmt: skip
    return int(text) - 1


def _named(text: str, names: Sequence[str], source: str) -> int:
    if text.lower() in names:
        return names.index(text.lower())
    if text.isdecimal() and 1 <= int(text) <= len(names):
        return int(text) - 1
    raise DataError(
        source, f'the column "{text}" asked for', f"one of {', '.join(names)}", "Name one of these, or its number."
    )


def _described(layout: Layout) -> str:
    if layout.form == "conllu":
        return f"CoNLL-U, tokens from {UNIVERSAL[layout.tokens]}, tags from {UNIVERSAL[layout.tags or 0]}"
    if layout.form in ("slashes", "brackets"):
        return {"slashes": "words with their tags, word/TAG", "brackets": "chunks in brackets"}[layout.form]
    what = "a token in each line" if layout.form == "columns" else "a sentence in each row"
    tags = "no tags" if layout.tags is None else f"tags from column {layout.tags + 1}"
    return f"{what}, tokens from column {layout.tokens + 1}, {tags}"


def _from_table(table: Table, asked: Asked) -> Sentences:
    frame, source = table.frame, table.source
    columns = {
        what: next((name for known in NAMES[what] for name in frame.columns if name.lower() == known), None)
        for what in NAMES
    }
    tokens, tags = asked.tokens or columns["tokens"], asked.tags or columns["tags"]
    if tokens is None:
        raise DataError(
            source, f"the columns {', '.join(frame.columns)}", "a column of tokens", "Name it: --tokens NAME."
        )
    if asked.tokens is None:
        notice(f'{source}: tokens from column "{tokens}", ' + (f'tags from "{tags}".' if tags else "no tags."))
    tags = tags if tags in frame.columns else None
    intent = asked.intent if asked.intent in frame.columns else None
    return from_frame(frame, source, (tokens, tags, intent), table.row_numbers().tolist())


def _from_memory(items: Sequence[Any]) -> Sentences:
    """A list of (tokens, tags), (tokens, tags, intent), lists of tokens, or texts that are split here."""
    tokens, tags, intents = [], [], []
    for number, item in enumerate(items, 1):
        if isinstance(item, str):
            words = split_words(item)
        elif isinstance(item, tuple):
            words = list(item[0])
            if len(item[1]) != len(words):
                raise DataError(
                    "list", f"{len(words)} tokens and {len(item[1])} tags", "a tag for each token",
                    "Give (tokens, tags) of equal length.", number,
                )  # fmt: skip
            tags.append(list(item[1]))
            intents += [str(item[2])] if len(item) > 2 else []
        else:
            words = list(item)
        if not words:
            raise DataError("list", "a sentence without tokens", "at least one token", "Leave it out.", number)
        tokens.append(words)
    rows = [[number] * len(words) for number, words in enumerate(tokens, 1)]
    complete = len(tags) == len(tokens)
    known = intents if complete and len(intents) == len(tokens) else None
    return Sentences("list", tokens, tags if complete else None, rows, known)
