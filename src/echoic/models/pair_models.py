"""Models that turn one sequence of symbols into another, by the name given to ``--model``.

Adding one is a class with the contract of ``sequence_to_sequence.EncoderDecoder`` and a line in ``MODELS``.
"""

from __future__ import annotations

from collections.abc import Callable

from echoic.errors import OptionError
from echoic.models.pair_settings import PairSettings, PairSizes
from echoic.models.sequence_to_sequence import EncoderDecoder

Build = Callable[[PairSizes, PairSettings], EncoderDecoder]


def _recurrent(sizes: PairSizes, settings: PairSettings) -> EncoderDecoder:
    from echoic.models.recurrent_pairs import RecurrentEncoderDecoder

    return RecurrentEncoderDecoder(sizes, settings)


def _transformer(sizes: PairSizes, settings: PairSettings) -> EncoderDecoder:
    from echoic.models.transformer import Transformer

    return Transformer(sizes, settings)


MODELS: dict[str, Build] = {
    "recurrent": _recurrent,
    "transformer": _transformer,
}


def build_pair_model(sizes: PairSizes, settings: PairSettings) -> EncoderDecoder:
    """The model the settings name; OptionError names the known ones."""
    if settings.model not in MODELS:
        raise OptionError(f'model: found "{settings.model}", expected one of {", ".join(MODELS)}.')
    return MODELS[settings.model](sizes, settings)
