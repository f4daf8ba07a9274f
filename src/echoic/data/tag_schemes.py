"""Spans written as a tag for each token: BIO, IOB1, BIOES and its other spellings; checked, converted, constrained.

BIO     B-X begins a span of X, I-X goes on, O is outside (also called IOB2)
IOB1    I-X also begins a span; B-X only where one of the same kind stood directly before
BIOES   E-X ends a span of several tokens, S-X is a span of one; also spelled BILOU and BMES
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

OUTSIDE = "O"
PLAIN = "plain"  # tags that are no spans: parts of speech


class Span(NamedTuple):
    """Tokens start to stop (without stop) are an X."""

    label: str
    start: int
    stop: int


class Letters(NamedTuple):
    """How a scheme spells the places in a span. ``end`` and ``single`` are empty where it does not mark them."""

    begin: str
    inside: str
    end: str = ""
    single: str = ""


SCHEMES = {
    "bio": Letters("B", "I"),
    "iob1": Letters("B", "I"),
    "bioes": Letters("B", "I", "E", "S"),
    "bilou": Letters("B", "I", "L", "U"),
    "bmes": Letters("B", "M", "E", "S"),
}


class Fault(NamedTuple):
    """A tag that cannot stand where it stands.

    place: number of the token in its sentence.
    found: the tag.
    reason: what is wrong, half a sentence.
    """

    place: int
    found: str
    reason: str


def parts(tag: str) -> tuple[str, str]:
    """Letter and label of a tag: "B-PER" is ("B", "PER"); "O" is ("O", "")."""
    letter, _, label = tag.partition("-")
    return letter, label


def recognise(sentences: Iterable[Sequence[str]]) -> str:
    """The scheme of a data set's tags, or "plain" where they are no spans."""
    sentences = list(sentences)
    letters = set()
    for tag in {tag for tags in sentences for tag in tags}:
        letter, label = parts(tag)
        if tag != OUTSIDE and (not label or len(letter) != 1):
            return PLAIN
        letters.add(letter)
    letters.discard(OUTSIDE)
    if not letters:
        return PLAIN
    fitting = [name for name, spelled in SCHEMES.items() if letters <= set(spelled)]
    if not fitting:
        return PLAIN
    return "iob1" if fitting[0] == "bio" and _begins_with_inside(sentences) else fitting[0]


def _begins_with_inside(sentences: Iterable[Sequence[str]]) -> bool:
    """Whether spans begin with I, and B stands only between two of a kind: IOB1."""
    inside = 0
    for tags in sentences:
        before = OUTSIDE
        for tag in tags:
            letter, label = parts(tag)
            if letter == "B" and parts(before)[1] != label:
                return False
            inside += letter == "I" and parts(before)[1] != label
            before = tag
    return inside > 0


def spans(tags: Sequence[str], scheme: str) -> list[Span]:
    """The spans of a sentence. A tag that goes on with nothing begins a span, as conlleval and seqeval read it."""
    letters = SCHEMES[scheme]
    found: list[Span] = []
    opened = False
    for place, tag in enumerate(tags):
        letter, label = parts(tag)
        if tag == OUTSIDE:
            opened = False
            continue
        goes_on = opened and letter in (letters.inside, letters.end) and found[-1].label == label
        if goes_on:
            found[-1] = Span(label, found[-1].start, place + 1)
        else:
            found.append(Span(label, place, place + 1))
        opened = letter not in (letters.end, letters.single)
    return found


def encode(found: Iterable[Span], length: int, scheme: str) -> list[str]:
    """Tags of a sentence of so many tokens from its spans."""
    letters = SCHEMES[scheme]
    tags = [OUTSIDE] * length
    before = Span("", -1, -1)
    for span in found:
        for place in range(span.start, span.stop):
            tags[place] = f"{letters.inside}-{span.label}"
        touching = before.stop == span.start and before.label == span.label
        if scheme != "iob1" or touching:
            tags[span.start] = f"{letters.begin}-{span.label}"
        if letters.end:
            last = letters.end if span.stop - span.start > 1 else letters.single
            tags[span.stop - 1] = f"{last}-{span.label}"
        before = span
    return tags


def convert(tags: Sequence[str], source: str, target: str) -> list[str]:
    """Tags in another scheme; faults are read as ``spans`` reads them."""
    return encode(spans(tags, source), len(tags), target)


def faults(tags: Sequence[str], scheme: str) -> list[Fault]:
    """What breaks the rules of the scheme in a sentence."""
    letters = SCHEMES[scheme]
    found = []
    open_label = None  # of a span that may go on
    for place, tag in enumerate(tags):
        letter, label = parts(tag)
        continues = letter in (letters.inside, letters.end) and tag != OUTSIDE
        if continues and label != open_label and scheme != "iob1":
            found.append(Fault(place, tag, f"after {_shown(tags, place - 1)} there is no {label} to go on with"))
        elif letters.end and open_label is not None and not (continues and label == open_label):
            found.append(Fault(place - 1, tags[place - 1], f"before {tag} the {open_label} is not ended"))
        open_label = None if tag == OUTSIDE or letter in (letters.end, letters.single) else label
    if letters.end and open_label is not None:
        found.append(Fault(len(tags) - 1, tags[-1], f"at the end of the sentence the {open_label} is not ended"))
    return found


def _shown(tags: Sequence[str], place: int) -> str:
    return tags[place] if place >= 0 else "the beginning of a sentence"


def tag_names(labels: Iterable[str], scheme: str) -> list[str]:
    """Every tag a scheme has for these labels, O first: seen or not, so that any length has an allowed path."""
    letters = [letter for letter in SCHEMES[scheme] if letter]
    return [OUTSIDE, *(f"{letter}-{label}" for label in sorted(set(labels)) for letter in letters)]


class Allowed(NamedTuple):
    """Which tags may stand first [K], after which [K, K] (row: before, column: after), and last [K]."""

    start: np.ndarray
    follow: np.ndarray
    end: np.ndarray


def allowed(names: Sequence[str], scheme: str) -> Allowed:
    """The rules of a scheme for these tags; everything is allowed to plain ones and in IOB1."""
    count = len(names)
    if scheme in (PLAIN, "iob1"):
        return Allowed(np.ones(count, bool), np.ones((count, count), bool), np.ones(count, bool))
    lonely = np.array([not faults([name], scheme) for name in names])
    letters = SCHEMES[scheme]
    open_letters = (letters.begin, letters.inside)
    begins = np.array([name == OUTSIDE or parts(name)[0] in (letters.begin, letters.single) for name in names])
    unfinished = np.array([name != OUTSIDE and parts(name)[0] in open_letters for name in names])
    must_end = unfinished & bool(letters.end)
    labels = np.array([parts(name)[1] for name in names])
    goes_on = unfinished[:, None] & (labels[:, None] == labels[None]) & ~begins[None]
    follow = goes_on | (begins[None] & ~must_end[:, None])
    end = ~must_end
    assert (lonely == (begins & end)).all()
    return Allowed(begins, follow, end)
