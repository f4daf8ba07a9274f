"""The units in which a classifier reads texts. Adding one is a class with ``fit``, ``encode`` and ``size``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from echoic.data.subwords import SubwordVocabulary
from echoic.data.vocabulary import CharacterVocabulary
from echoic.data.words import WordVocabulary, mostly_unspaced, split_words
from echoic.notices import notice

AnyUnits = Annotated[CharacterVocabulary | WordVocabulary | SubwordVocabulary, Field(discriminator="kind")]


class UnitOptions(NamedTuple):
    """How a vocabulary is learnt.

    size: symbols at most; None for all.
    minimum: units seen fewer times are unknown; None for the unit's own default.
    lowercase: words are read in lower case.
    """

    size: int | None = None
    minimum: int | None = None
    lowercase: bool = True


Fit = Callable[[Sequence[str], UnitOptions], CharacterVocabulary | WordVocabulary | SubwordVocabulary]
UNITS: dict[str, Fit] = {
    "character": lambda texts, o: CharacterVocabulary.fit(texts, o.size, o.minimum),
    "word": lambda texts, o: WordVocabulary.fit(texts, o.size, o.minimum, o.lowercase),
    "subword": lambda texts, o: SubwordVocabulary.fit(texts, o.size, o.minimum),
}


def fit_units(unit: str, texts: Sequence[str], options: UnitOptions, source: str) -> AnyUnits:
    """The vocabulary of the training texts; "auto" chooses characters or words by the script, and says so."""
    if unit == "auto":
        unit, why = choose_unit(texts)
        notice(f"{source}: texts are read as {unit}s, since {why}; --unit chooses.")
    return UNITS[unit](texts, options)


def choose_unit(texts: Sequence[str]) -> tuple[str, str]:
    """Characters where words cannot be told apart by spaces, words otherwise; and the reason."""
    if mostly_unspaced(texts):
        return "character", "their script writes no spaces between words"
    if float(np.mean([len(split_words(text)) for text in texts[:1000]])) < 2:
        return "character", "a text is a single word"
    return "word", "they have spaces"
