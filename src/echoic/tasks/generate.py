"""generate: a language model of characters or subwords, and the text it writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, cast

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from echoic.baselines.ngram import NGram
from echoic.data.cutting import check_long_enough, cut
from echoic.data.streams import HeldOutStreams, Symbols, TrainingStreams
from echoic.data.table import read_table
from echoic.data.text import Corpus, guess_text_column, is_table, read_corpus
from echoic.data.units import UNITS, AnyVocabulary
from echoic.data.vocabulary import BOUNDARY, UNKNOWN
from echoic.errors import DataError, OptionError
from echoic.insight.report import Section
from echoic.metrics.language import language_metrics
from echoic.models.language_model import LanguageModel, LanguageModelSettings, nats_of
from echoic.models.sampling import Sampling, Writer
from echoic.notices import notice
from echoic.tasks.base import DataSettings, Evaluation, Metrics, Splits, Task, TaskSettings
from echoic.training.contract import Batches
from echoic.training.settings import Rate, Training
from echoic.training.validation import mean_loss

NGRAMS = {"unigram": 1, "3-gram": 3, "5-gram": 5}
ROWS = 32  # of a held-out text that are scored side by side
SCORES = 2**26  # of all symbols that may be in memory at once when scoring
TEMPERATURES = (0.5, 0.8, 1.0)
PASSAGE = 60  # symbols of a passage shown in the report


class GenerateData(DataSettings):
    """What the text is made of."""

    unit: Literal["character", "subword"] = Field(default="character", description="what the model reads and writes")
    vocabulary_size: int | None = Field(
        default=None, ge=3, le=2**20, description="symbols at most (none: all; 4096 subwords)"
    )
    text: str | None = Field(default=None, description="column with the text, for a table (none: guessed)")
    lines: bool = Field(default=False, description="each line of a text file is a document of its own")
    validation_share: float = Field(
        default=0.05, gt=0, lt=1, description="share of the text before the test part for validation"
    )
    test_share: float = Field(default=0.1, ge=0, lt=1, description="share of the text, at its end, kept for the test")
    continuation: int = Field(default=200, ge=1, description="symbols that predict writes for each prompt")


class GenerateTraining(Training):
    """How to train a language model: many small updates at a high rate, since text is plenty and a state is carried."""

    epochs: int = Field(default=10, ge=1, description="passes over the training data at most")
    batch_size: int = Field(default=16, ge=1, description="streams side by side")
    learning_rate: Rate = Field(default=8e-3, description='peak learning rate; "auto" runs the finder')
    bptt: int = Field(default=64, ge=1, le=2**16, description="steps of truncated backpropagation through time")


class GenerateSettings(TaskSettings):
    """All options of generate."""

    data: GenerateData = Field(default_factory=GenerateData)
    model: LanguageModelSettings = Field(default_factory=LanguageModelSettings)
    training: GenerateTraining = Field(default_factory=GenerateTraining)


class GeneratePreprocessing(BaseModel):
    """The vocabulary, and whether documents have an end that the model writes."""

    model_config = ConfigDict(extra="forbid")

    vocabulary: AnyVocabulary
    separate: bool


class Generate(Task[Symbols]):
    """Foretells the next symbol of a text, and writes."""

    name = "generate"
    summary = "a language model of your text (characters or subwords) that writes more of it"
    Settings = GenerateSettings
    Preprocessing = GeneratePreprocessing
    promoted = ("unit", "text", "lines")
    settings: GenerateSettings
    preprocessing: GeneratePreprocessing

    def prepare(self, source: Any) -> Splits[Symbols]:
        """Read the text, cut it, learn the vocabulary from the training part."""
        data = self.settings.data
        corpus = self._corpus(source)
        given = {"validation": data.validation, "test": data.test}
        shares = [0.0 if given[part] else share for part, share in
                  (("validation", data.validation_share), ("test", data.test_share))]  # fmt: skip
        parts = cut(corpus, *shares, seed=self.settings.run.seed)._asdict()
        for part, path in given.items():
            if path is not None:
                parts[part] = self._corpus(path).documents
        for part, documents in parts.items():
            if part != "test" or data.test_share > 0 or data.test is not None:
                check_long_enough(part, documents, str(given.get(part) or corpus.source))
        vocabulary = UNITS[data.unit].fit(parts["training"], data.vocabulary_size)
        self.preprocessing = GeneratePreprocessing(vocabulary=vocabulary, separate=corpus.separate)
        test = self._encode(parts["test"]) if parts["test"] else None
        return Splits(self._encode(parts["training"]), self._encode(parts["validation"]), test)

    def _corpus(self, source: Any) -> Corpus:
        return read_corpus(source, self.settings.data.text, self.settings.data.lines)

    def _encode(self, documents: list[str]) -> Symbols:
        return Symbols.encode(documents, self.preprocessing.vocabulary, self.preprocessing.separate)

    def read(self, source: Any) -> Symbols:
        """Read a text to be scored."""
        corpus = self._corpus(source)
        check_long_enough("test", corpus.documents, corpus.source)
        part = self._encode(corpus.documents)
        if unknown := int((part.symbols == UNKNOWN).sum()):
            notice(f"{corpus.source}: {unknown:,} of {part.characters:,} characters were not in the training text.")
        return part

    def build_model(self) -> LanguageModel:
        """Embedding, recurrent stack and softmax over the vocabulary."""
        return LanguageModel(self.preprocessing.vocabulary.size, self.settings.model)

    def batches(self, part: Symbols, training: bool) -> Batches:
        """Contiguous streams; held-out text is read once, from its beginning to its end."""
        options = self.settings.training
        if training:
            return TrainingStreams(part, options.batch_size, options.bptt, self.settings.run.seed)
        return self._held_out(part)

    def _held_out(self, part: Symbols) -> HeldOutStreams:
        length = self.settings.training.bptt
        rows = SCORES // (self.preprocessing.vocabulary.size * length)
        return HeldOutStreams(part, max(1, min(ROWS, rows)), length)

    def validate(self, model: nn.Module, part: Symbols) -> Metrics:
        """Nats per symbol, and the same as bits per character."""
        loss = mean_loss(model, self._held_out(part))
        return {"loss": loss} | _metrics(loss * part.scored, part)

    def evaluate(self, model: nn.Module, part: Symbols, train: Symbols | None = None) -> Evaluation:
        """Bits per character and perplexity over the whole part; n-grams counted on the training part beside it."""
        nats = nats_of(_language_model(model), self._held_out(part))
        baselines: dict[str, Metrics] = {}
        if train is not None:
            for name, order in NGRAMS.items():
                counted = NGram(train.symbols, self.preprocessing.vocabulary.size, order)
                baselines[name] = _metrics(float(counted.nats(part.symbols, context=1).sum()), part)
        return Evaluation(_metrics(float(nats.sum()), part), baselines, details=(part, nats))

    def generate(self, model: nn.Module, prompt: str, sampling: Sampling) -> Iterator[str]:
        """Pieces of text that continue a prompt, as they come. Raises OptionError for one of unknown characters."""
        start = self._prompt(prompt)
        return self._writer(model).write(start, sampling)

    def _writer(self, model: nn.Module) -> Writer:
        forbidden, end = ((UNKNOWN,), BOUNDARY) if self.preprocessing.separate else ((UNKNOWN, BOUNDARY), -1)
        return Writer(_language_model(model), self.preprocessing.vocabulary, forbidden, end)

    def _prompt(self, prompt: str) -> list[int]:
        """Symbols to start from: a separate document begins at a boundary, running text after a line end."""
        vocabulary = self.preprocessing.vocabulary
        unknown = vocabulary.unknown_in(prompt)
        if unknown and len(unknown) == len(set(prompt)):
            raise OptionError(
                f"prompt: found {prompt[:40]!r}, of which the training text had no character. "
                "Write the prompt in the language and script of the training text."
            )
        if unknown:
            notice(f"prompt: {' '.join(map(repr, unknown[:10]))} was not in the training text and is read as unknown.")
        if self.preprocessing.separate:
            return [BOUNDARY, *vocabulary.encode(prompt).tolist()]
        if prompt:
            return vocabulary.encode(prompt).tolist()
        return [BOUNDARY] if vocabulary.unknown_in("\n") else vocabulary.encode("\n").tolist()

    def predict(self, model: nn.Module, source: Any) -> pl.DataFrame:
        """A continuation of each prompt, in a column "continuation" beside the source's own.

        source: table with a column of prompts (--text, or guessed), or a text file or list with a prompt in each line.
        """
        table, column = self._prompts(source)
        if "continuation" in table.columns:
            raise DataError(str(source), 'a column "continuation"', "a table without it", "Rename or drop that column.")
        prompts = [self._prompt(text or "") for text in table.get_column(column).to_list()]
        sampling = Sampling(length=self.settings.data.continuation, seed=self.settings.run.seed)
        writer = self._writer(model)
        texts = [t for i in range(0, len(prompts), 64) for t in writer.write_all(prompts[i : i + 64], sampling)]
        return table.with_columns(pl.Series("continuation", texts, dtype=pl.String))

    def _prompts(self, source: Any) -> tuple[pl.DataFrame, str]:
        if not isinstance(source, pl.DataFrame) and not is_table(source):
            lines = read_corpus(source, lines=True).documents
            return pl.DataFrame({"prompt": lines}), "prompt"
        table = source if isinstance(source, pl.DataFrame) else read_table(source)
        column = self.settings.data.text
        return table, column if column in table.columns else guess_text_column(table, str(source))

    def sections(self, model: nn.Module, splits: Splits[Symbols], evaluation: Evaluation) -> list[Section]:
        """Samples at several temperatures, the scores in words, and where the model was most surprised."""
        return [self._samples(model), self._scores(evaluation), self._surprises(evaluation)]

    def _samples(self, model: nn.Module) -> Section:
        writer, blocks = self._writer(model), []
        for temperature in TEMPERATURES:
            sampling = Sampling(length=400, temperature=temperature, seed=self.settings.run.seed)
            prompts = [self._prompt("")] * (6 if self.preprocessing.separate else 1)
            texts = "\n".join(text.strip("\n") for text in writer.write_all(prompts, sampling))
            blocks.append(f"temperature {temperature}\n\n{texts}")
        text = "Written by the model, from nothing. A low temperature keeps to what is likeliest; 1 follows the model."
        return Section("Samples", [text], preformatted=blocks)

    def _scores(self, evaluation: Evaluation) -> Section:
        header = ["", "bits per character", "nats per character", "perplexity"]
        everything = {"model": evaluation.metrics} | evaluation.baselines
        rows = [
            [name, *(f"{m[key]:.3f}" for key in ("bits_per_character", "nats_per_character", "perplexity"))]
            for name, m in everything.items()
        ]
        text = (
            "How well the model foretells text it has not seen, each symbol from all before it; lower is better. "
            "An n-gram is a table of how often n symbols followed each other in the training text."
        )
        return Section("How well it foretells", [text], [("Over the whole held-out part", header, rows)])

    def _surprises(self, evaluation: Evaluation) -> Section:
        part, nats = cast("tuple[Symbols, np.ndarray]", evaluation.details)
        symbols = part.symbols[1:]
        count = len(nats) // PASSAGE
        passages = np.argsort(-nats[: count * PASSAGE].reshape(count, PASSAGE).mean(axis=1))[:8]
        decode = self.preprocessing.vocabulary.decode
        rows = [
            [f"{nats[p * PASSAGE : (p + 1) * PASSAGE].mean():.2f}", decode(symbols[p * PASSAGE : (p + 1) * PASSAGE])]
            for p in passages.tolist()
        ]
        text = f"The passages of {PASSAGE} symbols of the held-out part that the model foretold worst."
        return Section("Most surprised", [text], [("", ["nats per symbol", "passage"], rows)])


def _language_model(model: nn.Module) -> LanguageModel:
    return cast(LanguageModel, model)


def _metrics(nats: float, part: Symbols) -> Metrics:
    return language_metrics(nats, part.scored, part.characters)
