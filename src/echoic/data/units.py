"""The units a language model may read and write. Adding one is a class with ``fit`` and a line here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from echoic.data.subwords import SubwordVocabulary
from echoic.data.vocabulary import CharacterVocabulary

AnyVocabulary = Annotated[CharacterVocabulary | SubwordVocabulary, Field(discriminator="kind")]
UNITS: dict[str, type[CharacterVocabulary] | type[SubwordVocabulary]] = {
    "character": CharacterVocabulary,
    "subword": SubwordVocabulary,
}
