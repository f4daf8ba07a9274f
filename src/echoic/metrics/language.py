"""How well a language model foretells a text."""

from __future__ import annotations

import math


def language_metrics(nats: float, symbols: int, characters: int) -> dict[str, float]:
    """Metrics of a whole held-out part.

    Args:
        nats: sum of -ln p over every symbol.
        symbols: how many symbols (characters or subwords, ends of documents included).
        characters: how many characters the symbols stand for, an end of a document counted as one.

    Returns bits_per_character, nats_per_character (the same in base e), and perplexity, exp(nats per symbol).
    """
    per_symbol = nats / symbols
    return {
        "bits_per_character": nats / characters / math.log(2),
        "nats_per_character": nats / characters,
        "perplexity": math.exp(per_symbol) if per_symbol < 700 else math.inf,
    }
