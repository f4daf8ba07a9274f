"""How well texts written agree with texts of people: BLEU (Papineni et al., 2002) and chrF (Popović, 2015), by
sacrebleu (Post, 2018), whose signature says exactly what was computed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
KANA = re.compile(r"[\u3040-\u30ff\u31f0-\u31ff]")
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")  # Thai, Lao, Burmese, Khmer
LETTER = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class TranslationScores:
    """Scores of a corpus.

    metrics: bleu and chrf, 0 to 100.
    signatures: what exactly each is, as sacrebleu writes it.
    """

    metrics: dict[str, float]
    signatures: dict[str, str]


def bleu_tokens(texts: Sequence[str]) -> str:
    """How sacrebleu is to split texts of this writing into words: ``zh`` (Chinese), ``char`` (Japanese, Thai and other
    writing without blanks) or ``13a``."""
    sample = "".join(texts)[:1_000_000]
    letters = max(1, len(LETTER.findall(sample)))
    if len(KANA.findall(sample)) + len(UNSPACED.findall(sample)) > 0.2 * letters:
        return "char"
    return "zh" if len(HAN.findall(sample)) > 0.4 * letters else "13a"


def translation_scores(
    outputs: Sequence[str], references: Sequence[Sequence[str]], lowercase: bool = False
) -> TranslationScores:
    """Scores of all outputs together.

    Args:
        outputs: texts written, N.
        references: texts of people, one or more for each output; their writing decides how words are told apart.
        lowercase: letters of both are compared in lower case.

    Raises ValueError where the numbers of texts differ, or an output has no reference.
    """
    if len(outputs) != len(references) or not all(references):
        raise ValueError(f"{len(outputs)} outputs and {len(references)} references, or an output without one")
    if not outputs:
        return TranslationScores({"bleu": 0.0, "chrf": 0.0}, {})
    streams: Any = [list(stream) for stream in zip_longest(*references)]
    tokens = bleu_tokens([several[0] for several in references])
    bleu, chrf = BLEU(lowercase=lowercase, tokenize=tokens), CHRF(lowercase=lowercase)
    metrics = {"bleu": bleu.corpus_score(list(outputs), streams).score}
    metrics["chrf"] = chrf.corpus_score(list(outputs), streams).score
    return TranslationScores(metrics, {"bleu": str(bleu.get_signature()), "chrf": str(chrf.get_signature())})
