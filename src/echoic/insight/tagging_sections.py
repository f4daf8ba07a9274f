"""What a report says of a tagger: examples with their mistakes, scores of each kind, how tags are confused."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from echoic.data.tag_schemes import PLAIN, spans
from echoic.data.tagged import Sentences
from echoic.insight.classification_plots import confusion_plot
from echoic.insight.report import Section
from echoic.metrics.classification import confusion_matrix

EXAMPLES = 8
MISTAKES = 20
KINDS = 40  # rows of the table of kinds
DRAWN = 20  # tags in the figure at most


@dataclass(frozen=True)
class TagsForetold:
    """What was foretold of a part.

    sentences: with their true tags.
    tags, probabilities: foretold tag of each token, and its probability.
    scheme: "plain", or "bio" for spans.
    known: words of the training part, as they are looked up there, for each token of each sentence.
    """

    sentences: Sentences
    tags: list[list[str]]
    probabilities: list[list[float]]
    scheme: str
    known: list[list[bool]]


def tagging_sections(foretold: TagsForetold) -> list[Section]:
    """The sections of a report."""
    kinds = _kinds_of_spans if foretold.scheme != PLAIN else _kinds_of_tags
    return [_examples(foretold), kinds(foretold), _mistakes(foretold)]


def _examples(foretold: TagsForetold) -> Section:
    """Sentences spread over the part, each token with its tag and the true one where they differ."""
    count = len(foretold.sentences)
    truth = foretold.sentences.tags
    assert truth is not None
    shown = []
    for i in np.linspace(0, count - 1, min(EXAMPLES, count)).astype(int).tolist():
        words = zip(foretold.sentences.tokens[i], foretold.tags[i], truth[i], strict=True)
        line = " ".join(_marked(word, said, right) for word, said, right in words)
        shown.append(f"line {foretold.sentences.rows[i][0]}: {line}")
    text = "Each token with its foretold tag. Mistakes stand in «», with the true tag after the arrow."
    return Section("Examples", [text], preformatted=shown)


def _marked(word: str, said: str, right: str) -> str:
    if said != right:
        return f"«{word}/{said} → {right}»"
    return word if said == "O" else f"{word}/{said}"


def _kinds_of_spans(foretold: TagsForetold) -> Section:
    """Precision, recall and F1 of each kind of span."""
    there: Counter[str] = Counter()
    said: Counter[str] = Counter()
    right: Counter[str] = Counter()
    truth = foretold.sentences.tags
    assert truth is not None
    for true_tags, tags in zip(truth, foretold.tags, strict=True):
        true_spans, found = set(spans(true_tags, foretold.scheme)), set(spans(tags, foretold.scheme))
        there.update(span.label for span in true_spans)
        said.update(span.label for span in found)
        right.update(span.label for span in true_spans & found)
    rows = [
        [label, _percent(right[label], said[label]), _percent(right[label], there[label]),
         _percent(2 * right[label], said[label] + there[label]), str(there[label])]
        for label in sorted(there.keys() | said.keys(), key=lambda label: -there[label])[:KINDS]
    ]  # fmt: skip
    text = (
        "A span counts as found if its kind and both its ends are right. Precision: of the spans that were said to "
        "be of a kind, the share that is. Recall: of the spans of a kind, the share that was found."
    )
    return Section("Kinds of spans", [text], [("", ["kind", "precision", "recall", "F1", "spans"], rows)])


def _kinds_of_tags(foretold: TagsForetold) -> Section:
    """How tags are confused, and accuracy on words seen in training and on others."""
    truth = [tag for tags in foretold.sentences.tags or [] for tag in tags]
    said = [tag for tags in foretold.tags for tag in tags]
    known = np.array([k for row in foretold.known for k in row])
    right = np.array(truth) == np.array(said)
    names = [name for name, _ in Counter(truth + said).most_common(DRAWN)]
    kept = [i for i in range(len(truth)) if truth[i] in names and said[i] in names]
    numbers = [np.array([names.index(tags[i]) for i in kept]) for tags in (truth, said)]
    confusion = confusion_matrix(numbers[0], numbers[1], len(names))
    rows = [
        [what, _percent(int(right[chosen].sum()), int(chosen.sum())), f"{int(chosen.sum()):,}"]
        for what, chosen in (("seen in training", known), ("not seen in training", ~known))
    ]
    text = ["Each row of the figure is a true tag and shows what its tokens were taken for."]
    figure = ("Tokens by true and foretold tag", confusion_plot(confusion, names))
    return Section("How tags are confused", text, [("", ["words", "accuracy", "tokens"], rows)], [figure])


def _mistakes(foretold: TagsForetold) -> Section:
    """The wrong tags the model was surest of."""
    truth = foretold.sentences.tags
    assert truth is not None
    wrong = [
        (probability, i, place)
        for i, (said, right, row) in enumerate(zip(foretold.tags, truth, foretold.probabilities, strict=True))
        for place, probability in enumerate(row)
        if said[place] != right[place]
    ]
    title = "The most confident mistakes"
    if not wrong:
        return Section(title, ["There was no mistake."])
    rows = [
        [str(foretold.sentences.rows[i][place]), _around(foretold.sentences.tokens[i], place), truth[i][place],
         f"{foretold.tags[i][place]} ({100 * probability:.0f} %)"]
        for probability, i, place in sorted(wrong, reverse=True)[:MISTAKES]
    ]  # fmt: skip
    text = f"{len(wrong):,} of {foretold.sentences.token_count:,} tokens have a wrong tag. Where the model was surest:"
    return Section(title, [text], [("", ["line", "token", "true", "foretold"], rows)])


def _around(words: list[str], place: int) -> str:
    before, after = words[max(0, place - 3) : place], words[place + 1 : place + 4]
    return " ".join([*before, f"«{words[place]}»", *after])


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "–"
