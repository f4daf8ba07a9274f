"""Runs as components of a spaCy pipeline: ``nlp.add_pipe("echoic_tagger", config={"run": "runs/ner"})``.

spaCy finds them by the entry points of this package; ``pip install echoic[spacy]`` brings spaCy along.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

from spacy.language import Language  # pyright: ignore[reportMissingImports]
from spacy.parts_of_speech import IDS  # pyright: ignore[reportMissingImports]
from spacy.tokens import Doc, Span  # pyright: ignore[reportMissingImports]
from spacy.util import filter_spans, minibatch  # pyright: ignore[reportMissingImports]

from echoic.data.tag_schemes import PLAIN, spans
from echoic.errors import OptionError
from echoic.tasks.estimator import Estimator, load

BATCH = 256  # documents; the model cuts them into batches of like length itself


class _Component(ABC):
    """A run in a pipeline: documents one by one, or in batches through ``nlp.pipe``."""

    task = ""

    def __init__(self, name: str, run: str, cell: str = "") -> None:
        if not run:
            raise OptionError(
                f'{name}: found no run; name its folder: nlp.add_pipe("{name}", config={{"run": "..."}}).'
            )
        self.name, self.run = name, run
        self.estimator: Estimator = load(run, cell=cell or None)
        if self.estimator.kind.name != self.task:
            raise OptionError(f"{run}: is a run of {self.estimator.kind.name}, expected {self.task} for {name}.")

    def __call__(self, doc: Doc) -> Doc:
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = BATCH) -> Iterator[Doc]:
        """The same documents, annotated batch by batch."""
        for docs in minibatch(stream, size=batch_size):
            self.annotate(list(docs))
            yield from docs

    @abstractmethod
    def annotate(self, docs: list[Doc]) -> None:
        """Write what is foretold into the documents."""


class EchoicTagger(_Component):
    """A run of ``echoic train tag``.

    Spans become ``doc.ents``; they take the place of entities that they overlap. Other tags become ``token.tag_``, and
    ``token.pos_`` where they are universal parts of speech. Sentences are read as the pipeline has set them, whole
    documents where it has not; blank tokens keep what they have.

    Args:
        name: in the pipeline.
        run: run directory.
        cell: file and class of the run's cell, if it was trained with one of your own; the file is executed.

    Raises:
        OptionError: no run, or one of another task. RunError, ModelError, CellError: it cannot be opened.
    """

    task = "tag"

    def annotate(self, docs: list[Doc]) -> None:
        places = [sentence for doc in docs for sentence in _sentences(doc)]
        if not places:
            return
        task, model = self.estimator.fitted()
        words = [[doc[i].text for i in numbers] for doc, numbers in places]
        found = task.tag(model, words)[1].tags  # pyright: ignore[reportAttributeAccessIssue]
        write = self._tags if task.preprocessing.written == PLAIN else self._entities
        for (doc, numbers), tags in zip(places, found, strict=True):
            write(doc, numbers, tags)

    def _tags(self, doc: Doc, numbers: list[int], tags: list[str]) -> None:
        for i, tag in zip(numbers, tags, strict=True):
            doc[i].tag_ = tag
            if tag in IDS:
                doc[i].pos_ = tag

    def _entities(self, doc: Doc, numbers: list[int], tags: list[str]) -> None:
        scheme = self.estimator.fitted()[0].preprocessing.written
        found = [Span(doc, numbers[s.start], numbers[s.stop - 1] + 1, label=s.label) for s in spans(tags, scheme)]
        taken = {i for span in found for i in range(span.start, span.end)}
        kept = [entity for entity in doc.ents if taken.isdisjoint(range(entity.start, entity.end))]
        doc.ents = filter_spans([*found, *kept])


class EchoicClassifier(_Component):
    """A run of ``echoic train classify`` on texts: probabilities of the classes in ``doc.cats``.

    Args:
        name: in the pipeline.
        run: run directory.
        cell: file and class of the run's cell, if it was trained with one of your own; the file is executed.

    Raises:
        OptionError: no run, or one of another task. RunError, ModelError, CellError: it cannot be opened.
    """

    task = "classify"

    def annotate(self, docs: list[Doc]) -> None:
        if not docs:
            return
        table = self.estimator.predict([doc.text for doc in docs])
        names: list[str] = self.estimator.fitted()[0].preprocessing.labels.names
        for name in names:
            for doc, value in zip(docs, table[f"probability_{name}"].to_list(), strict=True):
                doc.cats[name] = value


def _sentences(doc: Doc) -> Iterator[tuple[Doc, list[int]]]:
    """Numbers of the tokens of each sentence, blank ones left out."""
    parts: Iterable[Any] = doc.sents if doc.has_annotation("SENT_START") else [doc]
    for part in parts:
        numbers = [token.i for token in part if not token.is_space and token.text.strip()]
        if numbers:
            yield doc, numbers


@Language.factory("echoic_tagger", default_config={"run": "", "cell": ""})
def make_tagger(nlp: Language, name: str, run: str, cell: str) -> EchoicTagger:
    """The factory behind ``nlp.add_pipe("echoic_tagger", config={"run": FOLDER})``."""
    return EchoicTagger(name, run, cell)


@Language.factory("echoic_classifier", default_config={"run": "", "cell": ""})
def make_classifier(nlp: Language, name: str, run: str, cell: str) -> EchoicClassifier:
    """The factory behind ``nlp.add_pipe("echoic_classifier", config={"run": FOLDER})``."""
    return EchoicClassifier(name, run, cell)
