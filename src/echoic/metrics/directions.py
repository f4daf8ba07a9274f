"""Which metrics are better when they are larger; all others are better when they are smaller."""

from __future__ import annotations

HIGHER = frozenset({"accuracy", "macro_f1", "f1", "bleu", "chrf", "rouge_1", "rouge_2", "rouge_l", "r2"})
HIGHER |= {"precision", "recall", "intent_accuracy", "sentence_accuracy"}
NEUTRAL = frozenset({"coverage_80", "coverage", "tokens", "characters", "rows", "windows"})  # neither way

# The metric that a report names first, the earliest of these that a task gives.
HEADLINE = [
    "owa",
    "mase",
    "mse_standardised",
    "mae",
    "f1",
    "macro_f1",
    "accuracy",
    "bits_per_character",
    "perplexity",
    "bleu",
    "rouge_1",
    "smape",
    "rmse",
    "loss",
]


def better(name: str, value: float, other: float) -> bool:
    """Whether ``value`` of a metric is better than ``other``."""
    return value > other if name in HIGHER else value < other


def headline(metrics: dict[str, float]) -> str | None:
    """The metric to name first, or None if there is none."""
    return next((name for name in HEADLINE if metrics.get(name) is not None), None)
