"""Text from a language model, symbol by symbol."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from echoic.data.vocabulary import Vocabulary
from echoic.errors import OptionError
from echoic.models.language_model import LanguageModel


@dataclass(frozen=True)
class Sampling:
    """How to choose among the symbols a model finds likely.

    length: symbols (characters or subwords) at most.
    temperature: 0 always takes the likeliest, 1 follows the model, more is bolder.
    top_k: choose among the k likeliest only.
    top_p: choose among the likeliest that together have at least this probability (Holtzman et al., 2020).
    stop: end after this text.
    seed: the same seed writes the same text; None takes another each time.
    """

    length: int = 500
    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    stop: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        _expect(self.length >= 0, "length", self.length, "a number of symbols, 0 or more")
        _expect(0 <= self.temperature < float("inf"), "temperature", self.temperature, "0 or more")
        _expect(self.top_k is None or self.top_k >= 1, "top_k", self.top_k, "1 or more")
        _expect(self.top_p is None or 0 < self.top_p <= 1, "top_p", self.top_p, "a share above 0, at most 1")
        _expect(self.stop is None or self.stop != "", "stop", self.stop, "a text of at least one character")
        _expect(self.seed is None or 0 <= self.seed < 2**63, "seed", self.seed, "a whole number, 0 or more")


def _expect(holds: bool, name: str, found: object, expected: str) -> None:
    if not holds:
        raise OptionError(f"{name}: found {found!r}, expected {expected}.")


def choose(log_probabilities: Tensor, sampling: Sampling, generator: torch.Generator) -> Tensor:
    """One symbol for each row [B], from log probabilities [B, V]."""
    if sampling.temperature == 0:
        return log_probabilities.argmax(dim=-1)
    ranked, symbols = log_probabilities.double().sort(dim=-1, descending=True, stable=True)
    if sampling.top_k is not None:
        ranked = ranked[:, : sampling.top_k]
    probabilities = torch.softmax(ranked / sampling.temperature, dim=-1)
    if sampling.top_p is not None:
        before = probabilities.cumsum(dim=-1) - probabilities
        probabilities = probabilities.masked_fill(before >= sampling.top_p, 0)  # the likeliest always stays
    drawn = torch.multinomial(probabilities, 1, generator=generator)
    return symbols.gather(-1, drawn).squeeze(-1)


@torch.no_grad()
def symbols_after(
    model: LanguageModel, prompts: Sequence[Sequence[int]], sampling: Sampling, forbidden: Sequence[int]
) -> Iterator[Tensor]:
    """Symbols [B] that continue each prompt, one step at a time, ``sampling.length`` times; the state is kept between.

    Args:
        prompts: symbols of each prompt, at least one each.
        forbidden: symbols that are never chosen.
    """
    model.eval()
    device = model.embedding.weight.device
    generator = torch.Generator()
    if sampling.seed is None:
        generator.seed()
    else:
        generator.manual_seed(sampling.seed)
    lengths = torch.tensor([len(prompt) for prompt in prompts])
    inputs = torch.zeros(len(prompts), int(lengths.max()), dtype=torch.long)
    for row, prompt in enumerate(prompts):
        inputs[row, : len(prompt)] = torch.as_tensor(prompt)
    scores, state = model.read(inputs.to(device), None, lengths)
    for _ in range(sampling.length):
        scores[:, list(forbidden)] = -torch.inf
        chosen = choose(scores.cpu(), sampling, generator)
        yield chosen
        scores, state = model.read(chosen.to(device)[:, None], state)


class _Row:
    """The text of one continuation as it grows, until its end."""

    def __init__(self, vocabulary: Vocabulary, end: int, stop: str | None) -> None:
        self.decoder = vocabulary.pieces()
        self.end, self.stop = end, stop
        self.tail = ""  # of the text so far, as long as a stop text that may have begun
        self.done = False

    def push(self, symbol: int) -> str:
        """The piece of text that is complete with this symbol."""
        if symbol == self.end:
            return self.finish()
        return self._until_stop(self.decoder.push(symbol))

    def finish(self) -> str:
        """What the decoder has held back."""
        self.done = True
        return self._until_stop(self.decoder.finish())

    def _until_stop(self, piece: str) -> str:
        if self.stop is None or not piece:
            return piece
        text = self.tail + piece
        found = text.find(self.stop)
        if found >= 0:
            self.done = True
            return text[len(self.tail) : found + len(self.stop)]
        self.tail = text[len(text) - len(self.stop) + 1 :] if len(text) >= len(self.stop) else text
        return piece


@dataclass(frozen=True)
class Writer:
    """A language model with its vocabulary, ready to write.

    model, vocabulary: as trained together.
    forbidden: symbols that are never written.
    end: symbol that ends a text; -1 if none does.
    """

    model: LanguageModel
    vocabulary: Vocabulary
    forbidden: tuple[int, ...]
    end: int

    def write(self, prompt: Sequence[int], sampling: Sampling) -> Iterator[str]:
        """Pieces of text that continue a prompt, each as soon as its characters are complete.

        Ends after ``sampling.length`` symbols, before the symbol ``end``, or after the text ``sampling.stop``.
        """
        row = _Row(self.vocabulary, self.end, sampling.stop)
        for step in symbols_after(self.model, [prompt], sampling, self.forbidden):
            if piece := row.push(int(step[0])):
                yield piece
            if row.done:
                return
        if piece := row.finish():
            yield piece

    def write_all(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[str]:
        """Continuations of many prompts side by side, each ended as ``write`` ends it."""
        rows = [_Row(self.vocabulary, self.end, sampling.stop) for _ in prompts]
        texts = ["" for _ in prompts]
        for step in symbols_after(self.model, prompts, sampling, self.forbidden) if prompts else ():
            for number, symbol in enumerate(step.tolist()):
                if not rows[number].done:
                    texts[number] += rows[number].push(symbol)
            if all(row.done for row in rows):
                break
        return [text if row.done else text + row.finish() for text, row in zip(texts, rows, strict=True)]
