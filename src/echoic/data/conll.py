"""A token in each line and an empty line between sentences: columns as in the CoNLL tasks, and CoNLL-U."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from echoic.data.tagged import Layout, Sentences
from echoic.errors import DataError

UNIVERSAL = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")  # of CoNLL-U
WORD_NUMBER = re.compile(r"[1-9]\d*$")
RANGE_OR_EMPTY = re.compile(r"\d+(?:-\d+|\.\d+)$")  # 3-4: written as one word; 8.1: a word that was left out
DOCUMENT = "-DOCSTART-"
BLANK = "_"  # an empty column


def cells_of(line: str, separator: str) -> list[str]:
    """Columns of a line: at tabs, or at runs of blanks where the separator is ""."""
    return line.split(separator) if separator else line.split()


def read_columns(lines: list[str], source: str, layout: Layout) -> Sentences:
    """Sentences of a file with a token in each line.

    Lines that begin with # and have another number of columns than the first are comments; -DOCSTART- lines are
    skipped. Raises DataError with the row of a line that lacks a column, or holds an empty token or tag.
    """
    width = column_count(lines, layout)

    def token_of(line: str, row: int) -> tuple[str, str | None] | None:
        cells = cells_of(line, layout.separator)
        if (line.startswith("#") and len(cells) != width) or cells[0] == DOCUMENT:
            return None
        if len(cells) != width:
            raise DataError(
                source, f"{len(cells)} columns", f"{width} as in the first line", "Mend the line; an empty line stands "
                "between sentences, and columns are separated by tabs or else by blanks throughout.", row,
            )  # fmt: skip
        return _chosen(cells, layout, source, row)

    return _read(lines, source, layout, token_of)


def read_universal(lines: list[str], source: str, layout: Layout) -> Sentences:
    """Sentences of a CoNLL-U file: comments, words written as one (3-4) and left-out words (8.1) are skipped.

    Raises DataError with the row of a line that has not 10 columns, or an id that is no number.
    """

    def token_of(line: str, row: int) -> tuple[str, str | None] | None:
        if line.startswith("#"):
            return None
        cells = line.split("\t")
        if len(cells) != len(UNIVERSAL):
            raise DataError(
                source, f"{len(cells)} columns", "the 10 columns of CoNLL-U, separated by tabs",
                "Mend the line, or pass --format columns for other files of this kind.", row,
            )  # fmt: skip
        if RANGE_OR_EMPTY.match(cells[0]):
            return None
        if not WORD_NUMBER.match(cells[0]):
            raise DataError(source, f'the id "{cells[0]}"', "a number, a range or a decimal", "Mend the id.", row, "id")
        return _chosen(cells, layout, source, row)

    return _read(lines, source, layout, token_of)


def write_columns(sentences: Sentences, tags: Sequence[Sequence[str]], intents: Sequence[str] | None) -> str:
    """The file with these tags in their column and everything else as it was; a column that is missing is added."""
    layout, lines = sentences.layout, list(sentences.lines)
    assert layout.tags is not None
    for rows, chosen in zip(sentences.rows, tags, strict=True):
        for row, tag in zip(rows, chosen, strict=True):
            lines[row - 1] = _with_cell(lines[row - 1], layout.tags, tag, layout.separator)
    return "\n".join(lines)


def column_count(lines: Sequence[str], layout: Layout) -> int:
    """Columns of the first line that has more than one, or 1."""
    counts = (len(cells_of(line, layout.separator)) for line in lines if line.strip() and not line.startswith("# "))
    return next((count for count in counts if count > 1), 1)


def _read(
    lines: list[str], source: str, layout: Layout, token_of: Callable[[str, int], tuple[str, str | None] | None]
) -> Sentences:
    tokens: list[list[str]] = [[]]
    tags: list[list[str]] = [[]]
    rows: list[list[int]] = [[]]
    tagged = layout.tags is not None
    for row, line in enumerate(lines, 1):
        if not line.strip():
            if tokens[-1]:
                tokens.append([])
                tags.append([])
                rows.append([])
            continue
        found = token_of(line, row)
        if found is None:
            continue
        tokens[-1].append(found[0])
        rows[-1].append(row)
        tagged = tagged and found[1] is not None
        tags[-1].append(found[1] or "")
    if not tokens[-1]:
        del tokens[-1], tags[-1], rows[-1]
    return Sentences(source, tokens, tags if tagged else None, rows, None, lines, layout)


def _chosen(cells: Sequence[str], layout: Layout, source: str, row: int) -> tuple[str, str | None]:
    """Token and tag; the tag is None where the line has no such column."""
    if layout.tokens >= len(cells):
        raise DataError(
            source, f"{len(cells)} columns", f"the tokens in column {layout.tokens + 1}",
            "Name their column: --tokens N.", row,
        )  # fmt: skip
    token = cells[layout.tokens]
    tag = cells[layout.tags] if layout.tags is not None and layout.tags < len(cells) else None
    for what, text in (("token", token), ("tag", tag)):
        if text is not None and not text.strip():
            raise DataError(
                source, f"an empty {what}", f"a {what} in each line", "Fill it in, or remove the line.", row
            )
    return token, tag


def _with_cell(line: str, column: int, text: str, separator: str) -> str:
    if separator:
        cells = line.split(separator)
        cells += [BLANK] * (column + 1 - len(cells))
        cells[column] = text
        return separator.join(cells)
    places = [match.span() for match in re.finditer(r"\S+", line)]
    if column < len(places):
        return line[: places[column][0]] + text + line[places[column][1] :]
    return " ".join([line.rstrip(), *[BLANK] * (column - len(places)), text])
