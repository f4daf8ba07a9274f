"""Search against brute force, against one step at a time, against itself in other batches."""

from itertools import product
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from echoic.errors import ModelError, OptionError
from echoic.models.pair_models import MODELS
from echoic.models.pair_settings import PairSettings, PairSizes
from echoic.models.search import SLACK, Beam, beam_search, greedy, search_texts
from echoic.models.sequence_to_sequence import (
    END,
    PAD,
    START,
    Advance,
    EncoderDecoder,
    Memory,
    PairBatch,
    Taught,
    real_steps,
)


class Seen(NamedTuple):
    hidden: Tensor  # [N, H]
    steps: tuple[Tensor, Tensor]  # [N], and the symbols written as a number [N]


class Babbler(EncoderDecoder):
    """Random probabilities that depend on all symbols written and on the source; its state is a nested pytree that
    also says what was written."""

    def __init__(self, symbols: int, size: int = 6, sharpness: float = 3.0) -> None:
        super().__init__()
        torch.manual_seed(symbols)
        self.symbols, self.sharpness = symbols, sharpness
        self.embedding = nn.Embedding(symbols, size)
        self.turn, self.out = nn.Linear(2 * size, size), nn.Linear(size, symbols)
        self.double()

    def encode(self, source, lengths):
        mask = real_steps(source, lengths)
        values = self.embedding(source) * mask.unsqueeze(2)
        return Memory(values, mask, source, (values.sum(dim=1),))

    def start(self, memory):
        count = torch.zeros(len(memory.values), dtype=torch.int64)
        return Seen(memory.final[0], (count, count))

    def advance(self, tokens, memory, state):
        turned = self.turn(torch.cat([state.hidden, self.embedding(tokens)], dim=1))
        hidden = torch.tanh(self.sharpness * turned + memory.final[0])
        scores = (hidden.unsqueeze(1) * memory.values).sum(dim=2).masked_fill(~memory.mask, float("-inf"))
        count, written = state.steps
        written = written * self.symbols + tokens
        return Advance(
            (self.sharpness * self.out(hidden)).log_softmax(dim=1),
            scores.softmax(dim=1),
            Seen(hidden, (count + 1, written)),
        )

    def teach(self, memory, batch: PairBatch) -> Taught:
        raise NotImplementedError


def sentences(count: int, symbols: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 8, (count,), generator=generator)
    source = torch.randint(2, symbols, (count, int(lengths.max())), generator=generator)
    return source, lengths


@torch.no_grad()
def read(model: EncoderDecoder, source: Tensor, length: int, tokens: list[int]) -> tuple[Tensor, Tensor]:
    """ln p of every symbol after each prefix of tokens, [t + 1, V], and the attention, [t + 1, S]."""
    memory = model.encode(source[None, :length], torch.tensor([length]))
    state, told = model.start(memory), []
    for token in [START, *tokens]:
        told.append(model.advance(torch.tensor([token]), memory, state))
        state = told[-1].state
    return torch.cat([step.log_probabilities for step in told]), torch.cat([step.attention for step in told])


def score(model: EncoderDecoder, source: Tensor, length: int, tokens: list[int], penalty: float) -> float:
    told, _ = read(model, source, length, tokens)
    total = sum(float(told[step, token]) for step, token in enumerate([*tokens, END]))
    return total / ((5 + len(tokens) + 1) / 6) ** penalty


@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.7])
@pytest.mark.parametrize(("symbols", "longest"), [(4, 4), (5, 3), (7, 2), (3, 5), (5, 0)])
def test_a_beam_as_wide_as_everything_finds_the_best_of_all(symbols, longest, penalty):
    model = Babbler(symbols).eval()
    source, lengths = sentences(3, symbols)
    beam = Beam(symbols**longest, longest, None, penalty, n_best=min(5, symbols**longest))
    every = [list(t) for n in range(longest + 1) for t in product(range(2, symbols), repeat=n)]
    for row, found in enumerate(beam_search(model, source, lengths, beam)):
        ranked = sorted(
            ((score(model, source[row], int(lengths[row]), t, penalty), t) for t in every), reverse=True
        )[: beam.n_best]  # fmt: skip
        assert [h.tokens for h in found] == [tokens for _, tokens in ranked]
        assert [h.score for h in found] == pytest.approx([value for value, _ in ranked])


@pytest.mark.parametrize("width", [2, 5])
def test_hypotheses_are_scored_as_they_read_ranked_and_different(width):
    """The scores and the attention are those of the tokens read one by one, so the state went with its hypothesis."""
    model = Babbler(9, sharpness=2.5).eval()
    source, lengths = sentences(30, 9)
    found = beam_search(model, source, lengths, Beam(width, 12, None, 0.8, width), attention=True)
    assert len({len(h.tokens) for row in found for h in row}) >= 5
    for row, hypotheses in enumerate(found):
        assert hypotheses
        assert [h.score for h in hypotheses] == sorted((h.score for h in hypotheses), reverse=True)
        assert len({tuple(h.tokens) for h in hypotheses}) == len(hypotheses)
        for tokens, value, attention in hypotheses:
            assert not {END, PAD} & set(tokens)
            length = int(lengths[row])
            assert value == pytest.approx(score(model, source[row], length, tokens, 0.8))
            _, looks = read(model, source[row], length, tokens)
            assert torch.allclose(attention, looks[:-1])


def test_width_one_is_greedy():
    model = Babbler(11, sharpness=1.0).eval()
    source, lengths = sentences(13, 11)
    for row, found in enumerate(greedy(model, source, lengths, 15)):
        tokens: list[int] = []
        while len(tokens) < 15:
            told, _ = read(model, source[row], int(lengths[row]), tokens)
            told[-1, PAD] = float("-inf")
            if int(told[-1].argmax()) == END:
                break
            tokens.append(int(told[-1].argmax()))
        assert found.tokens == tokens
        assert found.attention is None


def real_model(name: str) -> EncoderDecoder:
    torch.manual_seed(3)
    settings = PairSettings(model=name, layers=2, hidden_size=12, heads=3, copy_source=True)
    model = MODELS[name](PairSizes(12, 12, True), settings).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("name", ["babbler", *MODELS])
@pytest.mark.parametrize("width", [1, 4])
def test_a_batch_gives_what_each_sentence_gives_alone(name, width):
    model = real_model(name) if name in MODELS else Babbler(12, sharpness=1.5).eval()
    source, lengths = sentences(14, 12)
    beam = Beam(width, 20, 1.5, 1.0, width)
    together = beam_search(model, source, lengths, beam, attention=True)
    for row, length in enumerate(lengths.tolist()):
        alone = beam_search(model, source[row : row + 1, :length], lengths[row : row + 1], beam, attention=True)[0]
        assert [h.tokens for h in together[row]] == [h.tokens for h in alone]
        assert [h.score for h in together[row]] == pytest.approx([h.score for h in alone])
        for ours, theirs in zip(together[row], alone, strict=True):
            assert torch.allclose(ours.attention, theirs.attention)
            assert ours.attention.shape == (len(ours.tokens), length)


def test_the_wider_beam_is_no_worse_on_the_whole():
    """By ln p alone, summed over sentences: a beam that lost track of its hypotheses would not gain by its width."""
    model = Babbler(20, sharpness=1.5).eval()
    source, lengths = sentences(30, 20)
    totals = [sum(h[0].score for h in beam_search(model, source, lengths, Beam(w, 8, None, 0.0))) for w in (1, 3, 10)]
    assert totals == sorted(totals)
    assert totals[0] < totals[2]


def test_nothing_is_longer_than_allowed():
    model = Babbler(30, sharpness=0.1).eval()
    with torch.no_grad():
        model.out.bias[END] = -60.0
    source, lengths = sentences(9, 30)
    for row, hypotheses in enumerate(beam_search(model, source, lengths, Beam(3, 13, 0.5, 1.0, 3))):
        assert {len(h.tokens) for h in hypotheses} == {min(13, int(0.5 * lengths[row]) + SLACK)}


def test_sentences_leave_the_batch_when_they_are_done():
    """The decoder is not run on rows of which nothing more is wanted."""
    model = Babbler(12, sharpness=1.5).eval()
    sizes: list[int] = []
    model.turn.register_forward_hook(lambda module, inputs, output: sizes.append(len(output)))
    source, lengths = sentences(14, 12)
    found = beam_search(model, source, lengths, Beam(4, 20))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 4 * 14
    assert sizes[-1] < 4 * 14
    assert len(sizes) <= 21
    assert len(sizes) > max(len(h[0].tokens) for h in found)


def test_texts_come_back_in_their_order():
    model = Babbler(12, sharpness=1.5).eval()
    random = np.random.default_rng(3)
    sources = [random.integers(2, 12, int(n)) for n in random.integers(0, 9, 150)]
    beam = Beam(3, 10, n_best=2)
    found = search_texts(model, sources, beam, attention=True)
    for source, hypotheses in zip(sources, found, strict=True):
        source = torch.from_numpy(np.append(source, END))[None]
        alone = beam_search(model, source, torch.tensor([source.shape[1]]), beam)[0]
        assert [h.tokens for h in hypotheses] == [h.tokens for h in alone]
        assert all(h.attention.shape == (len(h.tokens), source.shape[1]) for h in hypotheses)
    assert search_texts(model, [], beam) == []


def test_no_sentences():
    assert (
        beam_search(Babbler(5), torch.zeros(0, 1, dtype=torch.int64), torch.zeros(0, dtype=torch.int64), Beam()) == []
    )


def test_what_cannot_be():
    with pytest.raises(OptionError, match="wider beam"):
        Beam(3, n_best=4)
    with pytest.raises(OptionError, match="negative"):
        Beam(3, length_penalty=-0.5)
    model = Babbler(5)
    with torch.no_grad():
        model.out.bias[3] = float("nan")
    with pytest.raises(ModelError, match="diverged"):
        beam_search(model, *sentences(2, 5), Beam(2))
