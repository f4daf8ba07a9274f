"""translate: a text in another language for each text."""

from __future__ import annotations

from typing import cast

from torch import nn

from echoic.data.encoded_pairs import EncodedPairs
from echoic.insight.report import Section
from echoic.insight.translation_sections import Translated, shown_numbers, translation_sections
from echoic.metrics.translation import translation_scores
from echoic.tasks.base import Evaluation, Metrics, Splits
from echoic.tasks.pair_task import PairTask
from echoic.training.validation import mean_loss


class Translate(PairTask):
    """Translates texts; judged by BLEU and chrF beside the source copied as it is."""

    name = "translate"
    summary = "a text in another language for each text"
    output = "translation"

    def evaluate(self, model: nn.Module, part: EncodedPairs, train: EncodedPairs | None = None) -> Evaluation:
        """BLEU, chrF and loss; with the training part the source itself as baseline."""
        outputs = self.texts(self.write(model, part))
        references = [[target or ""] for target in part.pairs.targets]
        lowercase = self.settings.data.lowercase
        scores = translation_scores(outputs, references, lowercase)
        metrics: Metrics = scores.metrics | {"loss": mean_loss(model, self.batches(part, training=False))}
        baselines: dict[str, Metrics] = {}
        if train is not None:
            baselines["copy_of_the_source"] = translation_scores(part.pairs.sources, references, lowercase).metrics
        written = Translated(
            part.pairs.sources, outputs, [r[0] for r in references], part.pairs.rows, scores.signatures
        )
        return Evaluation(metrics, baselines, (written, part))

    def sections(self, model: nn.Module, splits: Splits[EncodedPairs], evaluation: Evaluation) -> list[Section]:
        """Translations from best to worst, and where the model looked."""
        written, part = cast(tuple[Translated, EncodedPairs], evaluation.details)
        shown = shown_numbers(written, self.settings.data.show_rows)
        return translation_sections(written, self.looked(model, part, shown), shown)
