"""How well tags are foretold: token accuracy, and for spans the exact-match F1 of seqeval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Tags = Sequence[Sequence[str]]


def token_accuracy(truth: Tags, predicted: Tags) -> float:
    """Share of tokens with the right tag; 0 where there are none."""
    pairs = [a == b for right, said in zip(truth, predicted, strict=True) for a, b in zip(right, said, strict=True)]
    return sum(pairs) / max(1, len(pairs))


def sentence_accuracy(truth: Tags, predicted: Tags) -> float:
    """Share of sentences whose tags are all right."""
    return sum(list(a) == list(b) for a, b in zip(truth, predicted, strict=True)) / max(1, len(truth))


def span_scores(truth: Tags, predicted: Tags) -> dict[str, float]:
    """Precision, recall and F1 of spans in BIO tags, all kinds together (micro), 0 to 1.

    A span counts as found if its kind and both its ends are right (Tjong Kim Sang and De Meulder, 2003).
    """
    from seqeval.metrics.sequence_labeling import precision_recall_fscore_support  # loads scikit-learn, which is slow

    options: dict[str, Any] = {"average": "micro", "zero_division": 0}
    scores = precision_recall_fscore_support([list(t) for t in truth], [list(t) for t in predicted], **options)
    return {name: float(value) for name, value in zip(("precision", "recall", "f1"), scores, strict=False)}  # pyright: ignore


def tagging_metrics(truth: Tags, predicted: Tags, are_spans: bool) -> dict[str, float]:
    """Metrics of a part.

    Args:
        truth, predicted: tags of each sentence; BIO where they are spans.
        are_spans: tags are spans and not one kind for each token.

    Returns accuracy (share of tokens) and sentence_accuracy (share of sentences without a mistake); for spans
    precision, recall and f1 too.
    """
    metrics = span_scores(truth, predicted) if are_spans else {}
    return metrics | {
        "accuracy": token_accuracy(truth, predicted),
        "sentence_accuracy": sentence_accuracy(truth, predicted),
    }
