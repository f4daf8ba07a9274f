"""The tagger: padding, batches and word dropout; spelling against plain computation; a CRF that learns order."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from echoic.data.tag_batches import Tagged
from echoic.data.tag_schemes import allowed, faults, tag_names
from echoic.data.tagged import Sentences
from echoic.data.tokens import TokenVocabulary
from echoic.data.vocabulary import UNKNOWN
from echoic.models.tagger import SequenceTagger, TaggerSettings, WordInput
from echoic.models.word_characters import CharacterConvolution, CharacterRecurrence

NAMES = tag_names(["A", "B"], "bioes")


def part_of(count: int = 30, intents: bool = False) -> tuple[Tagged, TokenVocabulary]:
    generator = np.random.default_rng(1)
    words = ["ape", "bee", "Cat", "dogs", "elephants", "北"]
    sentences = [generator.choice(words, size=generator.integers(1, 12)).tolist() for _ in range(count)]
    vocabulary = TokenVocabulary.fit(sentences)
    tags = [generator.integers(0, len(NAMES), len(words)) for words in sentences]
    classes = generator.integers(0, 3, count) if intents else None
    rows = [[1] * len(words) for words in sentences]
    return Tagged.of(Sentences("list", sentences, None, rows), vocabulary, tags, classes), vocabulary


def tagger_of(vocabulary: TokenVocabulary, crf: bool = True, intents: int = 0, **options) -> SequenceTagger:
    torch.manual_seed(3)
    sizes = {"hidden_size": 7, "embedding_size": 5, "spelling_size": 6, "affix_size": 2}
    settings = TaggerSettings(**sizes | options)
    rules = allowed(NAMES, "bioes") if crf else None
    return SequenceTagger(WordInput(vocabulary, settings), len(NAMES), settings, rules, intents)


@pytest.mark.parametrize("options", [{}, {"spelling": "recurrence", "affix_size": 0}, {"spelling": "none"}])
@pytest.mark.parametrize("crf", [True, False])
def test_a_sentence_does_not_depend_on_its_batch(crf, options):
    part, vocabulary = part_of(intents=True)
    tagger = tagger_of(vocabulary, crf, intents=3, **options).eval()
    batch = part.collate(np.arange(len(part)))
    scores, intents = tagger(batch)
    best, chances = tagger.best(scores, batch.lengths), tagger.probabilities(scores, batch.lengths)
    nats = 0.0
    for row, length in enumerate(batch.lengths.tolist()):
        alone = part.collate(np.array([row]))
        own, own_intents = tagger(alone)
        assert torch.allclose(own[0], scores[row, :length], atol=1e-5)
        assert torch.allclose(own_intents[0], intents[row], atol=1e-5)
        assert tagger.best(own, alone.lengths)[0].tolist() == best[row, :length].tolist()
        assert (best[row, length:] == -1).all()
        assert torch.allclose(
            tagger.probabilities(own, alone.lengths)[0].float(), chances[row, :length].float(), atol=1e-5
        )
        assert torch.allclose(chances[row, :length].sum(dim=1), torch.ones(length, dtype=chances.dtype), atol=1e-5)
        nats += float(tagger.nats(own, alone).detach())
    assert float(tagger.nats(scores, batch).detach()) == pytest.approx(nats, rel=1e-4)
    loss = tagger.loss(batch)
    assert loss.count == int(batch.lengths.sum())
    intent_nats = torch.nn.functional.cross_entropy(intents, batch.intents)
    assert float(loss.mean.detach()) == pytest.approx(nats / loss.count + float(intent_nats.detach()), rel=1e-4)


def test_what_stands_in_the_padding_is_never_looked_at():
    part, vocabulary = part_of()
    tagger = tagger_of(vocabulary).eval()
    batch = part.collate(np.arange(8))
    scores = tagger(batch)[0]
    padding = torch.arange(batch.tokens.shape[1]) >= batch.lengths.unsqueeze(1)
    other = batch._replace(tokens=batch.tokens.masked_fill(padding, len(batch.words) - 1))
    assert torch.equal(tagger(other)[0][~padding], scores[~padding])
    symbols = torch.arange(batch.characters.shape[1]) >= batch.spelled.unsqueeze(1)
    other = batch._replace(characters=batch.characters.masked_fill(symbols, 3))
    assert torch.allclose(tagger(other)[0][~padding], scores[~padding], atol=1e-6)


def test_unknown_tags_do_not_count_in_a_softmax():
    part, vocabulary = part_of()
    tagger = tagger_of(vocabulary, crf=False).eval()
    batch = part.collate(np.arange(5))
    hidden = batch._replace(tags=batch.tags.clone())
    hidden.tags[0, 0] = -1
    assert tagger.loss(hidden).count == tagger.loss(batch).count - 1
    scores = tagger(batch)[0]
    gone = float(-scores[0, 0].log_softmax(0)[batch.tags[0, 0]].detach())
    assert float((tagger.nats(scores, batch) - tagger.nats(scores, hidden)).detach()) == pytest.approx(gone, rel=1e-4)


def test_word_dropout_hides_rare_words_more_often():
    vocabulary = TokenVocabulary.fit([["often"] * 30 + ["rare"]])
    settings = TaggerSettings(word_dropout=0.5, embedding_dropout=0.0, spelling="none", affix_size=0)
    inputs = WordInput(vocabulary, settings)
    sentence = ["often"] * 4000 + ["rare"] * 4000
    part = Tagged.of(Sentences("list", [sentence], None, [[1] * 8000]), vocabulary, None, None)
    batch = part.collate(np.array([0]))
    torch.manual_seed(0)
    found = inputs.train()(batch)[0]
    hidden = (found == inputs.words.weight[UNKNOWN]).all(dim=1).float()
    assert float(hidden[:4000].mean()) == pytest.approx(0.5 / 30.5, abs=0.01)
    assert float(hidden[4000:].mean()) == pytest.approx(0.5 / 1.5, abs=0.03)
    assert not (inputs.eval()(batch)[0] == inputs.words.weight[UNKNOWN]).all(dim=1).any()


def test_vectors_of_a_file_are_looked_up_and_kept():
    vocabulary = TokenVocabulary.fit([["ape"]]).model_copy(update={"vectors": ["bee", "ape"], "vector_size": 2})
    vectors = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    settings = TaggerSettings(spelling="none", affix_size=0, embedding_size=3)
    inputs = WordInput(vocabulary, settings, vectors).eval()
    part = Tagged.of(Sentences("list", [["Bee", "ape", "cow"]], None, [[1] * 3]), vocabulary, None, None)
    found = inputs(part.collate(np.array([0])))[0, :, 3:]
    assert found.tolist() == [[1, 2], [3, 4], [0, 0]]
    assert "table" in inputs.state_dict()
    assert all(name != "table" for name, _ in inputs.named_parameters())


def test_convolution_against_plain_loops():
    torch.manual_seed(4)
    layer = CharacterConvolution(9, 4, 5, 0.0, widths=(2, 3)).eval()
    characters = torch.tensor([[1, 5, 6, 1, 0, 0], [1, 7, 8, 2, 3, 1], [1, 1, 0, 0, 0, 0]])
    lengths = torch.tensor([4, 6, 2])
    found = layer(characters, lengths)
    for row, length in enumerate(lengths.tolist()):
        expected = []
        for filters, width in zip(layer.filters, layer.widths, strict=True):
            letters = [layer.embedding.weight[characters[row, i]] for i in range(length)]
            outside = torch.zeros(4)
            responses = []
            for place in range(length):
                window = [
                    letters[i] if 0 <= i < length else outside
                    for i in range(place - width // 2, place - width // 2 + width)
                ]
                responses.append(filters(torch.stack(window, dim=1).flatten()))
            expected.append(torch.stack(responses).amax(dim=0))
        assert torch.allclose(found[row], torch.cat(expected).relu(), atol=1e-6)


def test_recurrence_reads_both_directions():
    torch.manual_seed(5)
    layer = CharacterRecurrence(9, 4, 6, 0.0).eval()
    words = torch.tensor([[1, 5, 6, 1, 0], [1, 7, 8, 2, 1]])
    found = layer(words, torch.tensor([4, 5]))
    assert torch.allclose(found[0], layer(words[:1, :4], torch.tensor([4]))[0], atol=1e-6)
    turned = layer(words[1:].flip(1), torch.tensor([5]))
    assert not torch.allclose(turned[0], found[1], atol=1e-3)


def test_a_crf_learns_what_no_place_alone_can_tell():
    """Tags that repeat the one before until a mark: the softmax sees the word alone, the CRF the order too."""
    generator = np.random.default_rng(6)
    sentences, tags = [], []
    for _ in range(120):
        length = int(generator.integers(3, 9))
        begin = int(generator.integers(0, length - 1))
        stop = int(generator.integers(begin + 2, length + 1))
        sentences.append(["x"] * length)
        chosen = ["O"] * length
        chosen[begin:stop] = ["B-A", *["I-A"] * (stop - begin - 2), "E-A"]
        tags.append(np.array([NAMES.index(tag) for tag in chosen]))
    vocabulary = TokenVocabulary.fit(sentences)
    part = Tagged.of(Sentences("list", sentences, None, [[1] * len(w) for w in sentences]), vocabulary, tags, None)
    tagger = tagger_of(vocabulary, dropout=0.0, embedding_dropout=0.0)
    optimiser = torch.optim.Adam(tagger.parameters(), lr=0.05)
    batch = part.collate(np.arange(120))
    for _ in range(40):
        optimiser.zero_grad()
        tagger.loss(batch).mean.backward()
        optimiser.step()
    tagger.eval()
    best = tagger.best(tagger(batch)[0], batch.lengths)
    for row, length in zip(best.tolist(), batch.lengths.tolist(), strict=True):
        assert faults([NAMES[i] for i in row[:length]], "bioes") == []
    follow = tagger.crf.follow.detach()
    assert follow[NAMES.index("B-A"), NAMES.index("I-A")] > follow[NAMES.index("B-A"), NAMES.index("E-B")]
