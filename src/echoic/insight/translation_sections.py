"""What a report says of translations: the best, middling and worst beside those of people, where the model looked, and
how exactly the scores were computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from echoic.insight.attention_plot import attention_plot
from echoic.insight.report import Section
from echoic.metrics.translation import translation_scores

EACH = 4  # examples of a kind
LONG = 300  # characters of a text that are shown


@dataclass(frozen=True)
class Translated:
    """What was written for a part.

    sources, outputs, references: texts, N each.
    rows: where each stands in its file.
    signatures: what the scores are, by their names.
    """

    sources: Sequence[str]
    outputs: Sequence[str]
    references: Sequence[str]
    rows: Sequence[int]
    signatures: dict[str, str]


@dataclass(frozen=True)
class Looked:
    """Where the model looked while it wrote one output.

    row: of the source in its file.
    source, written: symbols as texts, S and T.
    attention: weights [T, S], as a tensor or array.
    """

    row: int
    source: Sequence[str]
    written: Sequence[str]
    attention: Any


def shown_numbers(translated: Translated, rows: Sequence[int]) -> list[int]:
    """Numbers of the examples to show: those of the rows asked for, else some of the best, the middling and the worst
    by chrF."""
    if rows:
        place = {row: number for number, row in enumerate(translated.rows)}
        return [place[row] for row in rows if row in place]
    pairs = zip(translated.outputs, translated.references, strict=True)
    scores = np.array([_chrf(output, reference) for output, reference in pairs])
    order = np.argsort(-scores, kind="stable")
    middle = max(0, len(order) // 2 - EACH // 2)
    chosen = [*order[:EACH], *order[middle : middle + EACH], *order[-EACH:]]
    return [int(number) for number in dict.fromkeys(chosen)]


def translation_sections(translated: Translated, looked: Sequence[Looked], shown: Sequence[int]) -> list[Section]:
    """The sections of a report."""
    sections = [_examples(translated, shown)]
    if looked:
        sections.append(attention_section(looked))
    return sections


def _examples(translated: Translated, shown: Sequence[int]) -> Section:
    rows = [
        [
            str(translated.rows[i]), _cut(translated.sources[i]), _cut(translated.outputs[i]),
            _cut(translated.references[i]), f"{_chrf(translated.outputs[i], translated.references[i]):.0f}",
        ]
        for i in shown
    ]  # fmt: skip
    empty = sum(not output.strip() for output in translated.outputs)
    text = [f"{len(translated.outputs):,} texts were translated" + (f"; {empty:,} came out empty." if empty else ".")]
    text += [f"{name}: {signature}" for name, signature in translated.signatures.items()]
    return Section("Translations", text, [("", ["row", "source", "output", "reference", "chrF"], rows)])


def attention_section(looked: Sequence[Looked]) -> Section:
    """Where the model looked while it wrote, a figure for each text."""
    text = (
        "Each row of a figure is a symbol that was written, each column one of the source; the darker a square, the "
        "more the model looked there while it wrote. Name other rows with --set show_rows=N,N."
    )
    figures = [
        (f"row {one.row}", attention_plot(one.source, one.written, np.asarray(one.attention, float)))
        for one in looked
        if len(one.written)
    ]
    return Section("Where the model looked", [text], [], figures)


def _chrf(output: str, reference: str) -> float:
    return translation_scores([output], [[reference]], lowercase=True).metrics["chrf"]


def _cut(text: str) -> str:
    return text if len(text) <= LONG else text[: LONG - 1] + "…"
