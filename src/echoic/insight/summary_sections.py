"""What a report says of summaries: the best, middling and worst beside those of people, how long they are, and how much
of them is taken from the text word for word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from echoic.insight.report import Section
from echoic.insight.translation_sections import Looked, attention_section
from echoic.metrics.summaries import rouge, words

EACH = 5  # examples of a kind
DRAWN = 40  # symbols of a text in a figure of the attention
LONG, SHORT = 400, 200  # characters of a source and of a summary that are shown


@dataclass(frozen=True)
class Summarised:
    """What was written for a part.

    sources: texts, N.
    outputs: summaries written, N.
    references: summaries of people, one or more for each.
    rows: where each stands in its file.
    """

    sources: Sequence[str]
    outputs: Sequence[str]
    references: Sequence[Sequence[str]]
    rows: Sequence[int]


def shown_numbers(written: Summarised, rows: Sequence[int] = ()) -> list[int]:
    """Numbers of the examples to show: those of the rows asked for, else the best, middling and worst by ROUGE-1."""
    if rows:
        place = {row: number for number, row in enumerate(written.rows)}
        return [place[row] for row in rows if row in place]
    pairs = zip(written.outputs, written.references, strict=True)
    order = np.argsort([-_score(output, references) for output, references in pairs], kind="stable").tolist()
    middle = max(0, len(order) // 2 - EACH // 2)
    return list(dict.fromkeys([*order[:EACH], *order[middle : middle + EACH], *order[-EACH:]]))


def summary_sections(written: Summarised, shown: Sequence[int], looked: Sequence[Looked] = ()) -> list[Section]:
    """The sections of a report.

    Args:
        shown: numbers of the examples that are shown.
        looked: where the model looked when it wrote some of them.
    """
    if not written.outputs:
        return []
    sections = [_examples(written, shown), _lengths(written)]
    return [*sections, attention_section([_narrowed(one) for one in looked])] if looked else sections


def novel_share(source: str, summary: str) -> float:
    """Share of a summary's words that do not stand in the text, 0 to 1; 0 for an empty one."""
    known, said = set(words(source)), words(summary)
    return sum(word not in known for word in said) / max(1, len(said))


def _examples(written: Summarised, shown: Sequence[int]) -> Section:
    rows = [
        [
            str(written.rows[i]),
            _cut(written.sources[i], LONG),
            " | ".join(_cut(reference, SHORT) for reference in written.references[i]),
            _cut(written.outputs[i], SHORT),
            f"{_score(written.outputs[i], written.references[i]):.0f}",
        ]
        for i in shown
    ]
    text = (
        "ROUGE-1 counts the words that a summary shares with the one of a person, 0 to 100. It sees words and no "
        "meaning: a good summary in other words scores low, so read some."
    )
    return Section("Summaries", [text], [("", ["row", "text", "of a person", "written", "ROUGE-1"], rows)])


def _lengths(written: Summarised) -> Section:
    people = [references[0] for references in written.references]
    rows = [
        ["of a person", *_figures(written.sources, people)],
        ["written", *_figures(written.sources, written.outputs)],
    ]
    text = [
        "Words (characters, for writing without blanks) of the summaries, and the share of them that stand nowhere in "
        "the text: near 0 % is copying, far above that of people is inventing.",
    ]
    if empty := sum(not output.strip() for output in written.outputs):
        text.append(f"{empty:,} of {len(written.outputs):,} summaries are empty.")
    if repeated := sum(_repeats(output) for output in written.outputs):
        text.append(f"{repeated:,} of {len(written.outputs):,} summaries say three words in a row twice.")
    header = ["summaries", "shortest", "median", "longest", "not in the text"]
    return Section("Lengths, and words of their own", text, [("", header, rows)])


def _figures(sources: Sequence[str], summaries: Sequence[str]) -> list[str]:
    lengths = [len(words(summary)) for summary in summaries]
    novel = np.mean([novel_share(source, summary) for source, summary in zip(sources, summaries, strict=True)])
    return [str(min(lengths)), f"{np.median(lengths):g}", str(max(lengths)), f"{100 * novel:.0f} %"]


def _narrowed(looked: Looked) -> Looked:
    """The symbols of the text that were looked at most, in their order: a text is too long to be drawn whole."""
    weights = np.asarray(looked.attention, float)
    if weights.shape[1] <= DRAWN or not len(weights):
        return looked
    most = np.sort(np.argsort(-weights.max(axis=0), kind="stable")[:DRAWN])
    return replace(looked, source=[looked.source[i] for i in most.tolist()], attention=weights[:, most])


def _score(output: str, references: Sequence[str]) -> float:
    return rouge([output], [references])["rouge_1"]


def _repeats(summary: str) -> bool:
    said = words(summary)
    triples = list(zip(said, said[1:], said[2:], strict=False))
    return len(set(triples)) < len(triples)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
