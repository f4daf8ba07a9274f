"""What tasks that write a text for a text have in common: reading pairs, subwords, the model, the search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import polars as pl
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn

from echoic.data.encoded_pairs import EncodedPairs
from echoic.data.pair_checks import check_lengths, check_overlap, pair_parts, usable_pairs
from echoic.data.pair_text import PairText
from echoic.data.pairs import PairColumns, Pairs, read_pairs, target_beside
from echoic.errors import DataError
from echoic.insight.translation_sections import Looked
from echoic.models.pair_models import build_pair_model
from echoic.models.pair_settings import PairSettings, PairSizes
from echoic.models.search import Beam, Hypothesis, search_texts
from echoic.models.sequence_to_sequence import EncoderDecoder
from echoic.notices import notice
from echoic.tasks.base import DataSettings, Splits, Task, TaskSettings
from echoic.training.contract import Batches
from echoic.training.settings import Rate, Training


class PairData(DataSettings):
    """What the data hold."""

    source: str | None = Field(default=None, description="column of the texts that are read (none: guessed)")
    target: str | None = Field(default=None, description="column of the texts to be written (none: guessed)")
    target_file: Path | None = Field(
        default=None, description="file whose n-th line is the target of the n-th line of DATA"
    )
    validation_target: Path | None = Field(default=None, description="the same for the validation file")
    test_target: Path | None = Field(default=None, description="the same for the test file")
    header: bool | None = Field(default=None, description="whether the first line has the names (none: guessed)")
    vocabulary: Literal["joint", "separate"] = Field(
        default="joint", description="one vocabulary of subwords for both sides, or one for each"
    )
    vocabulary_size: int = Field(default=8000, ge=258, le=2**20, description="subwords of a vocabulary at most")
    lowercase: bool = Field(default=False, description="read, write and score texts in lower case")
    max_length: int = Field(default=200, ge=1, le=100_000, description="symbols of a text that are read and written")
    drop_unlikely: bool = Field(default=False, description="leave out pairs whose lengths do not fit each other")
    validation_share: float = Field(default=0.05, gt=0, lt=1, description="share of the data kept for validation")
    test_share: float = Field(default=0.05, ge=0, lt=1, description="share of the data kept for the test")
    show_rows: list[int] = Field(
        default_factory=list, description="rows of the tested data to show in the report, with their attention"
    )

    @model_validator(mode="after")
    def _something_left(self) -> PairData:
        if self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share leave nothing to train on")
        return self


class PairTraining(Training):
    """How to train a model of pairs."""

    epochs: int = Field(default=30, ge=1, description="passes over the training data at most")
    batch_size: int = Field(default=128, ge=1, description="pairs in a batch at most")
    max_tokens: int = Field(default=4096, ge=1, description="symbols of the longer side of a batch at most")
    learning_rate: Rate = Field(default=2e-3, description='peak rate; "auto" runs the finder')
    averaging: float | None = Field(
        default=0.998, gt=0, lt=1, description="decay of the running average of the weights"
    )


class SearchSettings(BaseModel):
    """How texts are written."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    beam: int = Field(default=5, ge=1, le=1000, description="hypotheses kept while searching; 1 is greedy")
    length_penalty: float = Field(default=1.0, ge=0, le=10, description="how much longer outputs are favoured")
    n_best: int = Field(default=1, ge=1, le=1000, description="outputs predicted for each text, the best first")

    @model_validator(mode="after")
    def _no_more_than_the_beam(self) -> SearchSettings:
        if self.n_best > self.beam:
            raise ValueError(f"n_best: found {self.n_best}, expected at most the beam, {self.beam}")
        return self


class PairTaskSettings(TaskSettings):
    """All options."""

    data: PairData = Field(default_factory=PairData)
    model: PairSettings = Field(default_factory=PairSettings)
    training: PairTraining = Field(default_factory=PairTraining)
    search: SearchSettings = Field(default_factory=SearchSettings)


class PairPreprocessing(BaseModel):
    """Columns, and how texts become symbols."""

    model_config = ConfigDict(extra="forbid")

    source: str | None
    target: str | None
    text: PairText


class PairTask(Task[EncodedPairs]):
    """Writes a text for each text. A subclass says how outputs are judged and shown."""

    Settings = PairTaskSettings
    Preprocessing = PairPreprocessing
    promoted = (
        "source", "target", "target_file", "validation_target", "test_target", "model", "vocabulary", "beam", "n_best"
    )  # fmt: skip
    output: str  # name of the column predicted
    together: tuple[str, ...] = ("sources", "targets")  # pairs with an equal one stay in one part of the data
    settings: PairTaskSettings
    preprocessing: PairPreprocessing

    def prepare(self, source: Any) -> Splits[EncodedPairs]:
        """Read, check, cut in parts, learn the subwords from the training part.

        source: path of a table, or of a text file with ``target_file`` beside it; a DataFrame; a pair of lists.
        """
        data = self.settings.data
        pairs, columns = read_pairs(source, PairColumns(data.source, data.target), data.target_file, data.header)
        pairs = self.check(usable_pairs(pairs))
        files = {"validation": data.validation, "test": data.test}
        shares = {"validation": data.validation_share, "test": data.test_share}
        wanted = [0.0 if files[name] else share for name, share in shares.items()]
        train, *held = pair_parts(pairs, wanted, self.settings.run.seed, self.together)
        parts = dict(zip(files, held, strict=True))
        for name, path in files.items():
            if path is not None:
                parts[name] = usable_pairs(read_pairs(path, columns, self._beside(path), data.header)[0])
                check_overlap(train, parts[name], name)
        if not len(train) or not len(parts["validation"]):
            raise DataError(
                pairs.origin, f"{len(pairs)} pairs", "enough to keep some for validation",
                "Give more data, a larger validation_share, or --validation FILE.",
            )  # fmt: skip
        text = self.fit_text(train)
        self.preprocessing = PairPreprocessing(source=columns.source, target=columns.target, text=text)
        encoded = {name: self.encode(part) for name, part in parts.items()}
        return Splits(self.encode(train), encoded["validation"], encoded["test"] if len(parts["test"]) else None)

    def check(self, pairs: Pairs) -> Pairs:
        """Say which pairs look wrong, before anything is trained; those that are left."""
        return check_lengths(pairs, self.settings.data.drop_unlikely)

    def fit_text(self, train: Pairs) -> PairText:
        """The vocabulary of the training part."""
        data = self.settings.data
        targets = [target or "" for target in train.targets]
        return PairText.fit(train.sources, targets, data.vocabulary_size, data.vocabulary == "joint", data.lowercase)

    def encode(self, pairs: Pairs) -> EncodedPairs:
        """Symbols of both sides, cut at ``max_length``, which is said."""
        text, longest = self.preprocessing.text, self.settings.data.max_length
        sources = [text.encode_source(source) for source in pairs.sources]
        targets = [text.encode_target(target or "") for target in pairs.targets]
        if cut := sum(len(symbols) > longest for symbols in [*sources, *targets]):
            notice(f"{pairs.origin}: {cut:,} texts were cut after {longest:,} symbols; --set max_length=N changes it.")
        return EncodedPairs(pairs, [s[:longest] for s in sources], [t[:longest] for t in targets])

    def read(self, source: Any) -> EncodedPairs:
        """Read pairs to be scored. Of line-aligned files a tuple of both, or the source's alone where the target's is
        named as in training (test.de and test.en after train.de and train.en)."""
        return self.encode(usable_pairs(self._read(source)))

    def _read(self, source: Any) -> Pairs:
        fitted = self.preprocessing
        columns = PairColumns(fitted.source, fitted.target)
        if isinstance(source, tuple) and len(source) == 2 and all(isinstance(part, str | Path) for part in source):
            return read_pairs(source[0], columns, Path(source[1]))[0]
        return read_pairs(source, columns, self._beside(source), self.settings.data.header)[0]

    def _beside(self, source: Any) -> Path | None:
        """The file with the targets of a file: the one the settings name, else the one named as in training."""
        data = self.settings.data
        if not isinstance(source, str | Path) or data.target_file is None:
            return None
        named = {data.validation: data.validation_target, data.test: data.test_target}.get(Path(source))
        return named or target_beside(Path(source), data.target_file)

    def build_model(self) -> nn.Module:
        """The model named by ``--model``."""
        text = self.preprocessing.text
        return build_pair_model(PairSizes(text.source.size, text.written.size, text.joint), self.settings.model)

    def batches(self, part: EncodedPairs, training: bool) -> Batches:
        """Pairs of similar length together, within the bound of symbols."""
        options = self.settings.training
        return part.batches(options.batch_size, options.max_tokens, self.settings.run.seed, training)

    def write(self, model: nn.Module, part: EncodedPairs, attention: bool = False) -> list[list[Hypothesis]]:
        """The best hypotheses for each source, the best first."""
        model.eval()
        return search_texts(cast(EncoderDecoder, model), part.sources, self.beam(), attention)

    def beam(self) -> Beam:
        """The search as the settings have it."""
        options = self.settings.search
        longest = self.settings.data.max_length
        return Beam(options.beam, longest, length_penalty=options.length_penalty, n_best=options.n_best)

    def texts(self, hypotheses: Sequence[list[Hypothesis]]) -> list[str]:
        """The best text of each source."""
        return [self.preprocessing.text.decode(found[0].tokens) if found else "" for found in hypotheses]

    def looked(self, model: nn.Module, part: EncodedPairs, numbers: Sequence[int]) -> list[Looked]:
        """Where the model looks when it writes for the sources with these numbers."""
        chosen, text = part.take(numbers), self.preprocessing.text
        return [
            Looked(row, [*text.pieces(source, source=True), "end"], text.pieces(best[0].tokens, source=False),
                   best[0].attention)
            for row, source, best in zip(
                chosen.pairs.rows, chosen.sources, self.write(model, chosen, attention=True), strict=True
            )
            if best and best[0].attention is not None
        ]  # fmt: skip

    def predict(self, model: nn.Module, source: Any) -> pl.DataFrame:
        """The source's columns with what was written and its score; with ``n_best`` the others in columns of their own.
        The score is ln p divided by the length penalty."""
        pairs = self._read(source)
        found = self.write(model, self.encode(pairs))
        columns: dict[str, list[Any]] = {}
        for place in range(self.settings.search.n_best):
            ending = "" if place == 0 else f"_{place + 1}"
            chosen = [best[place] if place < len(best) else None for best in found]
            decode = self.preprocessing.text.decode
            columns[self.output + ending] = [None if h is None else decode(h.tokens) for h in chosen]
            columns["score" + ending] = [None if h is None else h.score for h in chosen]
        if taken := [name for name in columns if name in pairs.table.columns]:
            raise DataError(pairs.origin, f'a column "{taken[0]}"', "a table without it", "Rename or drop it.")
        return pairs.table.with_columns([pl.Series(name, values) for name, values in columns.items()])
