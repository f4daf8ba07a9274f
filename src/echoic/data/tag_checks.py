"""What is checked before a training on tagged sentences, and how they are cut in parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from echoic.data.tag_schemes import OUTSIDE, PLAIN, SCHEMES, convert, faults, parts
from echoic.data.tagged import Sentences
from echoic.data.wording import counted
from echoic.errors import DataError
from echoic.notices import notice

SHOWN = 5  # rows named in a notice


def check_lengths(sentences: Sentences, longest: int) -> None:
    """Raise DataError for a sentence of more tokens than can be meant: the empty lines are missing."""
    for rows in sentences.rows:
        if len(rows) > longest:
            raise DataError(
                sentences.source, f"a sentence of {len(rows):,} tokens", f"at most {longest:,}",
                "Put an empty line between sentences, or pass --set max_length=N.", rows[0],
            )  # fmt: skip


def check_intents(sentences: Sentences) -> None:
    """Raise DataError where a sentence has no intent."""
    for rows, intent in zip(sentences.rows, sentences.intents or [""] * len(sentences), strict=True):
        if not intent:
            raise DataError(
                sentences.source, "no intent", "a class for each sentence, as --intent asks",
                "Fill it in or remove the row; intents stand in files with a sentence in each row.", rows[0],
            )  # fmt: skip


def tell_of_lost_spans(sentences: Sentences) -> None:
    """Say what keeps tags, most of which look like those of spans, from being read as spans."""
    assert sentences.tags is not None
    spelled = {letter for letters in SCHEMES.values() for letter in letters if letter}
    odd: list[str] = []
    letters: set[str] = set()
    looking = 0  # like spans
    for tags, rows in zip(sentences.tags, sentences.rows, strict=True):
        for tag, row in zip(tags, rows, strict=True):
            letter, label = parts(tag)
            if tag != OUTSIDE and letter in spelled and label:
                looking += 1
                letters.add(letter)
            elif tag != OUTSIDE:
                odd.append(f'row {row} "{tag}"')
    if looking <= len(odd):
        return
    found = ", ".join(odd[:SHOWN]) + (f" and {len(odd) - SHOWN:,} more" if len(odd) > SHOWN else "")
    found = found or f"the letters {', '.join(sorted(letters))}"
    notice(
        f"{sentences.source}: most tags look like spans, but {found} fit none of {', '.join(SCHEMES).upper()}: each "
        "tag is learnt by itself, without scores of spans. Correct them, or say --set scheme=plain."
    )


def with_valid_spans(sentences: Sentences, scheme: str) -> Sentences:
    """The sentences with tags that keep the scheme's rules; what breaks them is said with its rows and mended as
    conlleval reads it: a tag that goes on with nothing begins a span."""
    if scheme == PLAIN or sentences.tags is None:
        return sentences
    found = [(i, fault) for i, tags in enumerate(sentences.tags) for fault in faults(tags, scheme)]
    if not found:
        return sentences
    first = [f'row {sentences.rows[i][fault.place]} "{fault.found}" ({fault.reason})' for i, fault in found[:SHOWN]]
    more = f" and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
    notice(
        f"{sentences.source}: {counted(len(found), 'tag')} against the rules of {scheme.upper()}: {'; '.join(first)}"
        f"{more}; read as beginning or ending a span."
    )
    wrong = {i for i, _ in found}
    mended = [convert(tags, scheme, scheme) if i in wrong else tags for i, tags in enumerate(sentences.tags)]
    return sentences.with_tags(mended)


def cut_sentences(sentences: Sentences, shares: Sequence[float], seed: int) -> list[Sentences]:
    """Cut in parts that share no sentence: repeats stay together, which is said.

    Args:
        shares: of each further part, 0 to 1; what they leave is the first part.
        seed: of the choice.
    """
    if not any(shares):
        return [sentences.take(range(len(sentences))), *(sentences.take([]) for _ in shares)]
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, words in enumerate(sentences.tokens):
        groups.setdefault(tuple(words), []).append(number)
    if len(groups) < len(sentences):
        repeats = counted(len(sentences) - len(groups), "repeated sentence")
        notice(
            f"{sentences.source}: {repeats}, put in the same part as the first, so that none is tested that was "
            "trained on."
        )
    distinct = list(groups.values())
    order = np.random.default_rng(seed).permutation(len(distinct)).tolist()
    parts: list[Sentences] = []
    for share in shares:
        count = max(1, round(share * len(distinct))) if share else 0
        chosen, order = order[:count], order[count:]
        parts.append(sentences.take(sorted(row for group in chosen for row in distinct[group])))
    return [sentences.take(sorted(row for group in order for row in distinct[group])), *parts]


def tell_of_repeats(train: Sentences, part: Sentences, name: str) -> None:
    """Say which sentences of a part also stand in the training data, longer ones than a greeting alone."""
    seen = {tuple(words) for words in train.tokens}
    repeated = [rows[0] for words, rows in zip(part.tokens, part.rows, strict=True) if tuple(words) in seen]
    if repeated:
        rows = ", ".join(map(str, repeated[:SHOWN])) + (", ..." if len(repeated) > SHOWN else "")
        notice(
            f"{part.source}: {len(repeated):,} of {len(part):,} {name} sentences also stand in the training data "
            f"(rows {rows}); they are easier than new ones."
        )
