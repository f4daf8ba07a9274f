"""How much of a summary of people is in a summary written: ROUGE (Lin, 2004), by rouge-score."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

KINDS = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL"}
ALONE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
WORD = re.compile(f"[{ALONE}]|[^\\W_{ALONE}]+")  # a character of a writing without blanks, or letters and digits


class WordTokenizer:
    """Words in lower case, of any language; of Chinese and other writing without blanks each character. For English the
    tokens are those of rouge-score itself."""

    def tokenize(self, text: str) -> list[str]:
        """Words of a text."""
        return words(text)


def words(text: str) -> list[str]:
    """Words of a text in lower case, or characters where it has no blanks between words."""
    return WORD.findall(text.lower())


def rouge(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """rouge_1, rouge_2 (words, pairs of words) and rouge_l (longest common subsequence): F1, 0 to 100, the mean over
    the outputs. Words are not stemmed.

    Args:
        outputs: summaries written, N.
        references: summaries of people, one or more for each output; the one that agrees best counts.

    Raises ValueError where the numbers of texts differ, or an output has no reference.
    """
    if len(outputs) != len(references) or not all(references):
        raise ValueError(f"{len(outputs)} outputs and {len(references)} references, or an output without one")
    from rouge_score.rouge_scorer import RougeScorer  # loads nltk and scikit-learn, which is slow

    tokenizer: Any = WordTokenizer()
    scorer = RougeScorer(list(KINDS.values()), tokenizer=tokenizer)
    found = [scorer.score_multi(list(several), output) for output, several in zip(outputs, references, strict=True)]
    count = max(1, len(found))
    return {name: 100 * sum(scores[kind].fmeasure for scores in found) / count for name, kind in KINDS.items()}
