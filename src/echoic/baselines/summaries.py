"""The first words of a text as its summary, which is hard to beat where texts begin with what matters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from echoic.metrics.summaries import WORD, words


def lead(text: str, count: int) -> str:
    """The text up to its ``count``-th word (character, for writing without blanks)."""
    end = 0
    for place, word in enumerate(WORD.finditer(text)):
        if place == count:
            return text[:end]
        end = word.end()
    return text


def typical_length(summaries: Sequence[str]) -> int:
    """Words of the summary in the middle of the training part, at least 1."""
    return max(1, round(float(np.median([len(words(summary)) for summary in summaries])))) if len(summaries) else 1


def lead_baselines(sources: Sequence[str], training: Sequence[str]) -> dict[str, list[str]]:
    """Summaries by the first words: as many as a summary of the training part typically has, and twice as many.

    Args:
        sources: texts to be summarised, N.
        training: summaries of the training part.
    """
    typical = typical_length(training)
    return {f"first_{count}_words": [lead(text, count) for text in sources] for count in (typical, 2 * typical)}
