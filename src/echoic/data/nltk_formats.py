"""The formats of NLTK's tagged corpora: word/TAG as in Brown, and chunks in brackets: [ the/DT dog/NN ] barks/VBZ."""

from __future__ import annotations

import re
from collections.abc import Sequence

from echoic.data.tag_schemes import OUTSIDE
from echoic.data.tagged import Layout, Sentences
from echoic.errors import DataError

CHUNK = "NP"  # what a bracket is, as in NLTK's readers of chunked corpora
PIECES = re.compile(r"\S+")


def read_joined(lines: list[str], source: str, layout: Layout) -> Sentences:
    """Sentences of word/TAG, one in each line. The last separator of a word is the one before its tag.

    Raises DataError with the row of a word that has no tag, unless no word has one.
    """
    separator = layout.separator
    tokens, tags, rows = [], [], []
    untagged: tuple[int, str] | None = None
    for row, line in enumerate(lines, 1):
        pieces = [piece.rpartition(separator) for piece in line.split()]
        if not pieces:
            continue
        for word, found, tag in pieces:
            if not (word and found and tag) and untagged is None:
                untagged = row, word + found + tag
        tokens.append([word or tag for word, _, tag in pieces])
        tags.append([tag for _, _, tag in pieces])
        rows.append([row] * len(pieces))
    if untagged is not None and any(
        word != tag for ws, ts in zip(tokens, tags, strict=True) for word, tag in zip(ws, ts, strict=True)
    ):
        raise DataError(
            source, f'"{untagged[1]}"', f"word{separator}TAG", "Give each word its tag.", untagged[0]
        )  # fmt: skip
    return Sentences(source, tokens, None if untagged is not None else tags, rows, None, lines, layout)


def write_joined(sentences: Sentences, tags: Sequence[Sequence[str]], intents: Sequence[str] | None) -> str:
    """The file with these tags; leading blanks of a line are kept, runs of blanks in it become one."""
    lines = list(sentences.lines)
    separator = sentences.layout.separator
    for rows, words, chosen in zip(sentences.rows, sentences.tokens, tags, strict=True):
        line = lines[rows[0] - 1]
        indent = line[: len(line) - len(line.lstrip())]
        lines[rows[0] - 1] = indent + " ".join(f"{w}{separator}{t}" for w, t in zip(words, chosen, strict=True))
    return "\n".join(lines)


def read_bracketed(lines: list[str], source: str, layout: Layout) -> Sentences:
    """Chunks in brackets as BIO tags: tokens inside [ ] are B-NP, I-NP, others O; their parts of speech are left out.

    A sentence ends at an empty line. Raises DataError with the row of a bracket that closes or opens nothing.
    """
    tokens: list[list[str]] = [[]]
    tags: list[list[str]] = [[]]
    rows: list[list[int]] = [[]]
    inside, fresh, opened = False, False, 0
    for row, line in enumerate([*lines, ""], 1):
        if not line.strip() and tokens[-1]:
            if inside:
                raise DataError(source, '"["', '"]" before the sentence ends', "Close the bracket.", opened)
            tokens.append([])
            tags.append([])
            rows.append([])
        for piece in PIECES.findall(line):
            if piece in ("[", "]"):
                if inside == (piece == "["):
                    expected = '"]" first' if inside else '"[" before it'
                    raise DataError(
                        source, f'"{piece}"', expected, "Chunks cannot hold chunks; mend the brackets.", row
                    )
                inside = fresh = piece == "["
                opened = row
                continue
            tokens[-1].append(piece.rpartition(layout.separator)[0] or piece)
            tags[-1].append(OUTSIDE if not inside else f"{'B' if fresh else 'I'}-{CHUNK}")
            rows[-1].append(row)
            fresh = False
    return Sentences(source, tokens[:-1], tags[:-1], rows[:-1], None, lines, layout)
