"""tag: a tag for each token of a sentence: parts of speech, named entities, slots; its intent too, where asked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import polars as pl
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn

from echoic.baselines.tagging import MostFrequentTag
from echoic.data.tag_batches import NO_TAG, Tagged
from echoic.data.tag_checks import (
    check_intents,
    check_lengths,
    cut_sentences,
    tell_of_lost_spans,
    tell_of_repeats,
    with_valid_spans,
)
from echoic.data.tag_schemes import PLAIN, Allowed, allowed, convert, parts, recognise, tag_names
from echoic.data.tagged import Layout, Sentences
from echoic.data.tagged_files import FORMS, Asked, read_sentences
from echoic.data.tokens import TokenVocabulary
from echoic.data.word_vectors import read_word_vectors
from echoic.errors import DataError
from echoic.insight.report import Section
from echoic.insight.tagging_sections import TagsForetold, tagging_sections
from echoic.metrics.tagging import tagging_metrics
from echoic.models.tagger import SequenceTagger, TaggerSettings, WordInput
from echoic.tasks.base import DataSettings, Evaluation, Metrics, OwnFormat, Splits, Task, TaskSettings
from echoic.training.contract import Batches
from echoic.training.settings import Rate, Training
from echoic.training.validation import device_of, to_device

PREDICTION, PROBABILITY, INTENT = "prediction", "probability", "intent_prediction"
SHOWN_SCHEME = "bio"  # in which spans are compared and shown
MAXIMUM_TAGS = 4096
DECISIVE = ("accuracy", "f1", "intent_accuracy")  # metrics that choose the best weights


class TagData(DataSettings):
    """What the file holds."""

    format: Literal["auto", "columns", "conllu", "rows", "slashes", "brackets"] = Field(
        default="auto", description="columns: a token in each line; rows: a sentence in each; slashes: word/TAG"
    )
    tokens: str | None = Field(default=None, description="column of the tokens, a number from 1 or a name")
    tags: str | None = Field(default=None, description="column of the tags, a number from 1 or a name (upos, xpos)")
    intent: str | None = Field(default=None, description="column with the class of each sentence, learnt jointly")
    scheme: Literal["auto", "bio", "bioes", "plain"] = Field(
        default="auto", description="how spans are spelled inside the model; plain: tags are no spans"
    )
    lowercase: bool = Field(default=True, description="look words up in lower case (their spelling keeps its case)")
    min_count: int = Field(default=1, ge=1, description="words seen fewer times are known by their spelling alone")
    vocabulary_size: int | None = Field(default=None, ge=3, le=2**20, description="words at most")
    vectors: Path | None = Field(default=None, description="word vectors as text: GloVe, word2vec or fastText")
    vector_words: int = Field(default=100_000, ge=1, le=2**22, description="words of the file of vectors at most")
    max_length: int = Field(default=5_000, ge=1, description="tokens of a sentence; a longer one is refused")
    validation_share: float = Field(default=0.1, gt=0, lt=1, description="share of the data kept for validation")
    test_share: float = Field(default=0.1, ge=0, lt=1, description="share of the data kept for the test")

    @model_validator(mode="after")
    def _something_left(self) -> TagData:
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share leave nothing to train on")
        return self


class TagTraining(Training):
    """How to train a tagger."""

    learning_rate: Rate = Field(default=3e-3, description='peak rate; "auto" runs the finder')
    averaging: float | None = Field(
        default=0.995, gt=0, lt=1, description="decay of the running average of the weights"
    )
    max_steps_per_batch: int = Field(
        default=20_000, ge=1, description="sentences times their longest length in a batch, at most; bounds the memory"
    )


class TagSettings(TaskSettings):
    """All options of tag."""

    data: TagData = Field(default_factory=TagData)
    model: TaggerSettings = Field(default_factory=TaggerSettings)
    training: TagTraining = Field(default_factory=TagTraining)


class TagPreprocessing(BaseModel):
    """How files are read, words become numbers, and tags are spelled.

    Attributes:
        layout: of the training file.
        vocabulary: words and characters.
        written: scheme of the training file's tags, in which predictions are written.
        scheme: that of the model's tags.
        tags: the model's.
        intents: classes of sentences; empty for none.
    """

    model_config = ConfigDict(extra="forbid")

    layout: Layout
    vocabulary: TokenVocabulary
    written: Literal["plain", "bio", "iob1", "bioes", "bilou", "bmes"]
    scheme: Literal["plain", "bio", "bioes"]
    tags: list[str] = Field(min_length=1, max_length=MAXIMUM_TAGS)
    intents: list[str] = Field(default_factory=list, max_length=MAXIMUM_TAGS)

    @model_validator(mode="after")
    def _consistent(self) -> TagPreprocessing:
        if len(set(self.tags)) != len(self.tags) or len(set(self.intents)) != len(self.intents):
            raise ValueError("a tag or an intent stands twice")
        if (self.written == PLAIN) != (self.scheme == PLAIN):
            raise ValueError("either both schemes are plain or none")
        return self


class Found(NamedTuple):
    """What a model says of a part: tags in its scheme and their probabilities, intents, and the mean -ln p of a tag."""

    tags: list[list[str]]
    probabilities: list[list[float]]
    intents: list[str] | None
    nats: float


class Tag(Task[Tagged]):
    """Foretells a tag for each token."""

    name = "tag"
    summary = "a tag for each token: parts of speech, entities, slots"
    Settings = TagSettings
    Preprocessing = TagPreprocessing
    promoted = ("tokens", "tags", "intent", "format", "vectors", "decoder")
    own_endings = (".conll", ".conllu", ".tsv", ".txt", ".pos", ".bio", ".iob")
    settings: TagSettings
    preprocessing: TagPreprocessing
    _vectors: np.ndarray | None = None

    def prepare(self, source: Any) -> Splits[Tagged]:
        """Read, check, cut in parts, learn words and tags from the training part.

        source: path of a file (CoNLL columns, CoNLL-U, rows of a table, word/TAG); a DataFrame; a list of
            (tokens, tags) or (tokens, tags, intent).
        """
        data = self.settings.data
        asked = Asked(data.format, data.tokens, data.tags, data.intent)
        everything = self._checked(read_sentences(source, asked))
        files = {"validation": data.validation, "test": data.test}
        given = {
            name: self._checked(read_sentences(path, asked, everything.layout))
            for name, path in files.items()
            if path is not None
        }
        shares = {"validation": data.validation_share, "test": data.test_share} | dict.fromkeys(given, 0.0)
        found = cut_sentences(everything, list(shares.values()), self.settings.run.seed)
        chosen = dict(zip(("train", "validation", "test"), found, strict=True)) | given
        if not len(chosen["train"]) or not len(chosen["validation"]):
            raise DataError(
                everything.source, f"{len(set(map(tuple, everything.tokens)))} different sentences",
                "enough to keep some for validation",
                "Give more data, a larger validation_share, or --validation FILE.",
            )  # fmt: skip
        for name, part in given.items():
            tell_of_repeats(chosen["train"], part, name)
        self.preprocessing = self._fit(chosen["train"])
        train, validation, test = (self._encode(part) for part in chosen.values())
        return Splits(train, validation, test if len(test) else None)

    def _checked(self, sentences: Sentences) -> Sentences:
        check_lengths(sentences, self.settings.data.max_length)
        if sentences.tags is None:
            raise DataError(
                sentences.source, "no column of tags", "a tag for each token", "Name the column: --tags N."
            )  # fmt: skip
        if self.settings.data.intent is not None:
            check_intents(sentences)
        return sentences

    def _fit(self, train: Sentences) -> TagPreprocessing:
        data = self.settings.data
        assert train.tags is not None
        written = PLAIN if data.scheme == PLAIN else recognise(train.tags)
        if written == PLAIN and data.scheme != PLAIN:
            tell_of_lost_spans(train)
        seen = {tag for tags in train.tags for tag in tags}
        scheme: Any = PLAIN if written == PLAIN else ("bioes" if data.scheme == "auto" else data.scheme)
        names = sorted(seen) if written == PLAIN else tag_names((parts(t)[1] for t in seen if parts(t)[1]), scheme)
        if len(names) > MAXIMUM_TAGS:
            raise DataError(
                train.source, f"{len(names):,} different tags", f"at most {MAXIMUM_TAGS:,}",
                "Name the column that holds the tags: --tags N.",
            )  # fmt: skip
        vocabulary = TokenVocabulary.fit(train.tokens, data.lowercase, data.min_count, data.vocabulary_size)
        if data.vectors is not None:
            words, self._vectors = read_word_vectors(data.vectors, data.vector_words)
            vocabulary = vocabulary.model_copy(update={"vectors": words, "vector_size": self._vectors.shape[1]})
        return TagPreprocessing(
            layout=train.layout, vocabulary=vocabulary, written=cast(Any, written), scheme=scheme, tags=names,
            intents=sorted(set(train.intents)) if data.intent is not None and train.intents else [],
        )  # fmt: skip

    def _encode(self, sentences: Sentences) -> Tagged:
        """Numbers of sentences; a tag or intent that training has not seen gets none and counts as a mistake."""
        fitted = self.preprocessing
        tags = intents = None
        if sentences.tags is not None:
            sentences = with_valid_spans(sentences, fitted.written)
            assert sentences.tags is not None
            number_of = {name: number for number, name in enumerate(fitted.tags)}
            spelled = [_converted(tags, fitted.written, fitted.scheme) for tags in sentences.tags]
            tags = [np.array([number_of.get(tag, NO_TAG) for tag in chosen], np.int64) for chosen in spelled]
        if fitted.intents and sentences.intents is not None:
            class_of = {name: number for number, name in enumerate(fitted.intents)}
            intents = np.array([class_of.get(name, NO_TAG) for name in sentences.intents], np.int64)
        return Tagged.of(sentences, fitted.vocabulary, tags, intents)

    def read(self, source: Any) -> Tagged:
        """Read tagged sentences to be scored."""
        return self._encode(self._checked(self._sentences(source)))

    def _sentences(self, source: Any) -> Sentences:
        data = self.settings.data
        return read_sentences(
            source, Asked(data.format, data.tokens, data.tags, data.intent), self.preprocessing.layout
        )

    def build_model(self) -> SequenceTagger:
        """Words, recurrent stack, CRF or softmax; a head for the intents."""
        fitted, settings = self.preprocessing, self.settings.model
        with_crf = fitted.scheme != PLAIN if settings.decoder == "auto" else settings.decoder == "crf"
        rules: Allowed | None = allowed(fitted.tags, fitted.scheme) if with_crf else None
        inputs = WordInput(fitted.vocabulary, settings, self._vectors)
        return SequenceTagger(inputs, len(fitted.tags), settings, rules, len(fitted.intents))

    def batches(self, part: Tagged, training: bool) -> Batches:
        """Sentences of similar length together, within the bound of steps."""
        options = self.settings.training
        return part.batches(options.batch_size, options.max_steps_per_batch, self.settings.run.seed, training)

    @torch.no_grad()
    def foretell(self, model: nn.Module, part: Tagged, probabilities: bool = True) -> Found:
        """Tags of a part in the model's scheme, sentence by sentence."""
        model.eval()
        tagger, device, fitted = cast(SequenceTagger, model), device_of(model), self.preprocessing
        tags: list[list[str]] = [[]] * len(part)
        chances: list[list[float]] = [[]] * len(part)
        intents = [""] * len(part)
        nats, count = 0.0, 0
        for batch in self.batches(part, training=False).epoch(0):
            batch = to_device(batch, device)
            scores, intent_scores = tagger(batch)
            nats, count = nats + float(tagger.nats(scores, batch)), count + int(batch.lengths.sum())
            best = tagger.best(scores, batch.lengths)
            chosen = torch.zeros_like(best, dtype=torch.float64)
            if probabilities:
                chosen = (
                    tagger.probabilities(scores, batch.lengths).double().gather(2, best.clamp(min=0)[..., None])[..., 0]
                )
            for row, length, numbers, values in zip(
                batch.rows.tolist(), batch.lengths.tolist(), best.tolist(), chosen.tolist(), strict=True
            ):
                tags[row] = [fitted.tags[number] for number in numbers[:length]]
                chances[row] = values[:length]
            if intent_scores is not None:
                for row, number in zip(batch.rows.tolist(), intent_scores.argmax(dim=1).tolist(), strict=True):
                    intents[row] = fitted.intents[number]
        return Found(tags, chances, intents if fitted.intents else None, nats / max(1, count))

    def validate(self, model: nn.Module, part: Tagged) -> Metrics:
        """The metrics of ``evaluate``, and as "loss" the shares of what is wrong, added up: of tokens, spans, intents.

        The best weights are those with the fewest mistakes: -ln p is at its lowest long before, since what a tagger
        still gets wrong late in a training it gets wrong with ever more confidence.
        """
        found = self.foretell(model, part, probabilities=False)
        metrics = self._metrics(part.sentences, found.tags, found.intents, self.preprocessing.scheme)
        wrong = sum(1 - metrics[name] for name in DECISIVE if name in metrics)
        return metrics | {"loss": wrong, "nats": found.nats}

    def evaluate(self, model: nn.Module, part: Tagged, train: Tagged | None = None) -> Evaluation:
        """Token accuracy; for spans precision, recall and F1; intent accuracy; with the training part the baseline."""
        fitted, sentences = self.preprocessing, part.sentences
        found = self.foretell(model, part)
        metrics = self._metrics(sentences, found.tags, found.intents, fitted.scheme) | {"nats": found.nats}
        baselines = {} if train is None else {"most_frequent_tag": self._baseline(train.sentences, sentences)}
        shown = PLAIN if fitted.written == PLAIN else SHOWN_SCHEME
        assert sentences.tags is not None
        truth = [_converted(tags, fitted.written, shown) for tags in sentences.tags]
        said = [_converted(tags, fitted.scheme, shown) for tags in found.tags]
        known = [[fitted.vocabulary.knows(word) for word in words] for words in sentences.tokens]
        details = TagsForetold(sentences.with_tags(truth), said, found.probabilities, shown, known)
        return Evaluation(metrics, baselines, details)

    def _metrics(
        self, truth: Sentences, tags: Sequence[Sequence[str]], intents: Sequence[str] | None, scheme: str
    ) -> Metrics:
        """Metrics of tags in a scheme against the truth, both made BIO first where they are spans."""
        fitted = self.preprocessing
        assert truth.tags is not None
        spans = fitted.written != PLAIN
        right = [_converted(chosen, fitted.written, SHOWN_SCHEME) for chosen in truth.tags]
        said = [_converted(chosen, scheme, SHOWN_SCHEME) for chosen in tags]
        metrics = tagging_metrics(right, said, spans)
        if intents is None or truth.intents is None:
            return metrics
        hits = [a == b for a, b in zip(intents, truth.intents, strict=True)]
        whole = [hit and a == b for hit, a, b in zip(hits, right, said, strict=True)]
        return metrics | {
            "intent_accuracy": sum(hits) / max(1, len(hits)),
            "sentence_accuracy": sum(whole) / max(1, len(whole)),
        }

    def _baseline(self, train: Sentences, part: Sentences) -> Metrics:
        assert train.tags is not None
        fitted = self.preprocessing
        baseline = MostFrequentTag(train.tokens, train.tags, train.intents if fitted.intents else None)
        intents = None if baseline.intent is None else [baseline.intent] * len(part)
        return self._metrics(part, baseline.tags(part.tokens), intents, fitted.written)

    def tag(self, model: nn.Module, source: Any) -> tuple[Sentences, Found]:
        """Sentences of any source with what the model says of them, tags in the scheme of the training file."""
        sentences = self._sentences(source)
        check_lengths(sentences, self.settings.data.max_length)
        found = self.foretell(model, self._encode(sentences.with_tags(None)))
        fitted = self.preprocessing
        return sentences, found._replace(tags=[_converted(t, fitted.scheme, fitted.written) for t in found.tags])

    def predict(self, model: nn.Module, source: Any) -> pl.DataFrame:
        """A row for each token of a file with a token in each line; otherwise one for each sentence, the tags with
        blanks between them."""
        sentences, found = self.tag(model, source)
        if sentences.layout.form in ("columns", "conllu"):
            return pl.DataFrame(
                {
                    "sentence": [i + 1 for i, words in enumerate(sentences.tokens) for _ in words],
                    "row": [row for rows in sentences.rows for row in rows],
                    "token": [word for words in sentences.tokens for word in words],
                    PREDICTION: [tag for tags in found.tags for tag in tags],
                    PROBABILITY: [value for values in found.probabilities for value in values],
                }
            )
        table = sentences.table
        if table is None:
            table = pl.DataFrame({"tokens": [" ".join(words) for words in sentences.tokens]})
        columns = {PREDICTION: [" ".join(tags) for tags in found.tags]}
        columns |= {} if found.intents is None else {INTENT: found.intents}
        if taken := [name for name in columns if name in table.columns]:
            raise DataError(sentences.source, f'a column "{taken[0]}"', "a table without it", "Rename or drop it.")
        return table.with_columns([pl.Series(name, values) for name, values in columns.items()])

    def predict_alike(self, model: nn.Module, source: Any) -> OwnFormat | None:
        """The source's file with the predicted tags in the column of tags."""
        sentences, found = self.tag(model, source)
        form = FORMS.get(sentences.layout.form)
        if form is None or form.write is None or sentences.layout.tags is None:
            return None
        intents = found.intents if sentences.layout.intent is not None else None
        return OwnFormat(form.write(sentences, found.tags, intents), len(sentences))

    def sections(self, model: nn.Module, splits: Splits[Tagged], evaluation: Evaluation) -> list[Section]:
        """Examples, scores of each kind or how tags are confused, the most confident mistakes."""
        return tagging_sections(cast(TagsForetold, evaluation.details))


def _converted(tags: Sequence[str], source: str, target: str) -> list[str]:
    return list(tags) if source in (PLAIN, target) else convert(tags, source, target)
