"""What a report says of summaries: the best, middling and worst beside those of people, how long they are, and how much
of them is taken from the text word for word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from echoic.insight.report import Section
from echoic.metrics.summaries import rouge, words

EACH = 5  # examples of a kind
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


def summary_sections(written: Summarised) -> list[Section]:
    """The sections of a report."""
    return [_examples(written), _lengths(written)] if written.outputs else []


def novel_share(source: str, summary: str) -> float:
    """Share of a summary's words that do not stand in the text, 0 to 1; 0 for an empty one."""
    known, said = set(words(source)), words(summary)
    return sum(word not in known for word in said) / max(1, len(said))


def _examples(written: Summarised) -> Section:
    pairs = zip(written.outputs, written.references, strict=True)
    scores = np.array([rouge([output], [references])["rouge_1"] for output, references in pairs])
    order = np.argsort(-scores, kind="stable")
    middle = max(0, len(order) // 2 - EACH // 2)
    kinds = {"best": order[:EACH], "middling": order[middle : middle + EACH], "worst": order[-EACH:]}
    shown: dict[int, str] = {}
    for kind, numbers in kinds.items():
        for number in numbers.tolist():
            shown.setdefault(number, kind)
    rows = [
        [
            f"{kind}, row {written.rows[i]}",
            _cut(written.sources[i], LONG),
            " | ".join(_cut(reference, SHORT) for reference in written.references[i]),
            _cut(written.outputs[i], SHORT),
            f"{scores[i]:.0f}",
        ]
        for i, kind in shown.items()
    ]
    text = (
        "ROUGE-1 counts the words that a summary shares with the one of a person, 0 to 100. It sees words and no "
        "meaning: a good summary in other words scores low, so read some."
    )
    return Section("Summaries", [text], [("", ["", "text", "of a person", "written", "ROUGE-1"], rows)])


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


def _repeats(summary: str) -> bool:
    said = words(summary)
    triples = list(zip(said, said[1:], said[2:], strict=False))
    return len(set(triples)) < len(triples)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
