"""summarize: a short text for each long one."""

from __future__ import annotations

from typing import cast

from pydantic import Field
from torch import nn

from echoic.baselines.summaries import lead_baselines
from echoic.data.encoded_pairs import EncodedPairs
from echoic.data.pair_checks import check_shorter
from echoic.data.pairs import Pairs
from echoic.insight.report import Section
from echoic.insight.summary_sections import Summarised, shown_numbers, summary_sections
from echoic.metrics.summaries import rouge
from echoic.models.pair_settings import PairSettings
from echoic.notices import notice
from echoic.tasks.base import Evaluation, Metrics, Splits
from echoic.tasks.pair_task import PairData, PairTask, PairTaskSettings, PairTraining
from echoic.training.settings import Rate
from echoic.training.validation import mean_loss


class SummarizeData(PairData):
    """What the data hold."""

    references: list[str] = Field(
        default_factory=list,
        description="further columns with summaries of the tested data; the one that agrees best counts",
    )
    max_source: int = Field(
        default=400,
        ge=1,
        le=100_000,
        description="symbols of a text that are read, from its beginning; the rest is cut",
    )
    max_length: int = Field(default=100, ge=1, le=100_000, description="symbols of a summary at most")


class SummarizeModel(PairSettings):
    """The model, which copies words of the text where it has none of its own (See et al., 2017)."""

    copy_source: bool = Field(default=True, description="let the decoder copy symbols of the text (pointer-generator)")


class SummarizeTraining(PairTraining):
    """How to train a summariser: texts are long, so a batch holds fewer of them."""

    epochs: int = Field(default=15, ge=1, description="passes over the training data at most")
    batch_size: int = Field(default=64, ge=1, description="pairs in a batch at most")
    max_tokens: int = Field(default=16_384, ge=1, description="symbols of the longer side of a batch at most")
    learning_rate: Rate = Field(default=2e-3, description='peak rate; "auto" runs the finder')


class SummarizeSettings(PairTaskSettings):
    """All options of summarize."""

    data: SummarizeData = Field(default_factory=SummarizeData)
    model: SummarizeModel = Field(default_factory=SummarizeModel)
    training: SummarizeTraining = Field(default_factory=SummarizeTraining)


class Summarize(PairTask):
    """Writes a short text for a long one; judged by ROUGE beside the first words of the text."""

    name = "summarize"
    summary = "a short text for each long one"
    output = "summary"
    together = ("sources",)  # many texts share a short summary
    Settings = SummarizeSettings
    promoted = (*PairTask.promoted, "max_source", "references")
    settings: SummarizeSettings

    def check(self, pairs: Pairs) -> Pairs:
        """Say which summaries are no shorter than their texts; ratios of lengths say nothing here."""
        return check_shorter(pairs, self.settings.data.drop_unlikely)

    def encode(self, pairs: Pairs) -> EncodedPairs:
        """Symbols of both sides. A text is cut after its first ``max_source`` symbols, a summary to be learnt after
        ``max_length``; both are said."""
        data, text = self.settings.data, self.preprocessing.text
        sources = [text.encode_source(source) for source in pairs.sources]
        targets = [text.encode_target(target or "") for target in pairs.targets]
        for what, option, longest, sides in (
            ("texts", "max_source", data.max_source, sources),
            ("summaries", "max_length", data.max_length, targets),
        ):
            if cut := sum(len(symbols) > longest for symbols in sides):
                notice(
                    f"{pairs.origin}: of {cut:,} of {len(sides):,} {what} the first {longest:,} symbols are read and "
                    f"the rest is cut off; --set {option}=N changes it."
                )
        return EncodedPairs(pairs, [s[: data.max_source] for s in sources], [t[: data.max_length] for t in targets])

    def evaluate(self, model: nn.Module, part: EncodedPairs, train: EncodedPairs | None = None) -> Evaluation:
        """ROUGE-1, 2 and L, and the loss; with the training part the first words of the text as baseline."""
        outputs, references = self.texts(self.write(model, part)), self._references(part.pairs)
        metrics: Metrics = rouge(outputs, references) | {"loss": mean_loss(model, self.batches(part, training=False))}
        baselines: dict[str, Metrics] = {}
        if train is not None:
            leads = lead_baselines(part.pairs.sources, [target or "" for target in train.pairs.targets])
            baselines = {name: rouge(lead, references) for name, lead in leads.items()}
        written = Summarised(part.pairs.sources, outputs, references, part.pairs.rows)
        return Evaluation(metrics, baselines, (written, part))

    def _references(self, pairs: Pairs) -> list[list[str]]:
        """Summaries of people for each text: the target, and what stands in the further columns, where they are."""
        found = [[target or ""] for target in pairs.targets]
        for name in self.settings.data.references:
            if name in pairs.table.columns:
                for several, further in zip(found, pairs.table[name].to_list(), strict=True):
                    several += [str(further)] if further else []
        return found

    def sections(self, model: nn.Module, splits: Splits[EncodedPairs], evaluation: Evaluation) -> list[Section]:
        """Summaries from best to worst, their lengths, and where the model looked."""
        written, part = cast(tuple[Summarised, EncodedPairs], evaluation.details)
        shown = shown_numbers(written, self.settings.data.show_rows)
        return summary_sections(written, shown, self.looked(model, part, shown))
