"""The tagger that stands beside a trained one: the most frequent tag of each word."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence


class MostFrequentTag:
    """For each word the tag it had most often in the training part; for unseen words the most frequent one of all.

    Args:
        sentences: words of each training sentence.
        tags: one for each word.
        intents: class of each sentence, or None.
    """

    def __init__(
        self, sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]], intents: Sequence[str] | None = None
    ) -> None:
        seen: dict[str, Counter[str]] = defaultdict(Counter)
        total: Counter[str] = Counter()
        for words, chosen in zip(sentences, tags, strict=True):
            total.update(chosen)
            for word, tag in zip(words, chosen, strict=True):
                seen[word][tag] += 1
        self.tag_of = {word: counts.most_common(1)[0][0] for word, counts in seen.items()}
        self.usual = total.most_common(1)[0][0]
        self.intent = Counter(intents).most_common(1)[0][0] if intents else None

    def tags(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """A tag for each word."""
        return [[self.tag_of.get(word, self.usual) for word in words] for words in sentences]
