"""The recurrent encoder-decoder: a step at a time is all at once, padding changes nothing, copying and coverage are
what their papers say."""

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_map

from echoic.data.pair_batch import END, pair_batch
from echoic.errors import OptionError
from echoic.models.pair_models import build_pair_model
from echoic.models.pair_settings import PairSettings, PairSizes
from echoic.models.recurrent_pairs import RecurrentEncoderDecoder
from echoic.models.sequence_to_sequence import real_targets
from echoic.models.vocabulary_output import CopyGate

V = 23
VARIANTS = {
    "as it comes": {},
    "one layer of LSTM": {"cell": "LSTM", "layers": 1},
    "three layers, residual, normalised": {"cell": "LSTM", "layers": 3, "residual": True, "layer_norm": True},
    "input feeding": {"input_feeding": True},
    "input feeding, copying, coverage": {
        "input_feeding": True, "copy_source": True, "coverage": True, "attention": "additive", "cell": "GRU"
    },
    "copying, coverage, location": {"copy_source": True, "coverage": True, "attention": "location"},
    "input feeding, normalised inside": {"input_feeding": True, "cell": "LSTM", "cell_options": {"layer_norm": True}},
    "multi-head, one direction, own weights": {
        "attention": "multi-head", "heads": 3, "bidirectional": False, "tied": False, "embedding_size": 5
    },
    "weight drop": {"weight_drop": 0.2, "locked_dropout": True},
    "zoneout": {"zoneout": 0.1, "input_feeding": True},
}  # fmt: skip


def _model(**options) -> RecurrentEncoderDecoder:
    torch.manual_seed(7)
    model = build_pair_model(PairSizes(V, V, True), PairSettings(hidden_size=6, **options))
    assert isinstance(model, RecurrentEncoderDecoder)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model.eval()


def _batch(source=(5, 1, 7), target=(4, 6, 0)):
    random = np.random.default_rng(3)
    return pair_batch(*([random.integers(2, V, n) for n in lengths] for lengths in (source, target)))


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
class TestEveryVariant:
    @torch.no_grad()
    def test_a_step_at_a_time_is_all_at_once(self, options):
        model, batch = _model(**options), _batch()
        memory = model.encode(batch.source, batch.source_lengths)
        state, steps, looks = model.start(memory), [], []
        for token in batch.target_in.unbind(1):
            told = model.advance(token, memory, state)
            state = told.state
            steps.append(told.log_probabilities)
            looks.append(told.attention)
        together = model.teach(memory, batch).log_probabilities()
        torch.testing.assert_close(torch.stack(steps, 1)[real_targets(batch)], together, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(together.exp().sum(1), torch.ones(len(together)))
        torch.testing.assert_close(torch.stack(looks, 1).sum(2), torch.ones(batch.target_in.shape))

    @torch.no_grad()
    def test_each_row_is_what_it_is_alone(self, options):
        model, batch = _model(**options), _batch()
        together = model.teach(model.encode(batch.source, batch.source_lengths), batch).log_probabilities()
        ends = batch.target_lengths.cumsum(0).tolist()
        for row, end in enumerate(ends):
            size, length = int(batch.source_lengths[row]), int(batch.target_lengths[row])
            alone = type(batch)(
                batch.source[row : row + 1, :size], batch.source_lengths[row : row + 1],
                batch.target_in[row : row + 1, :length], batch.target_out[row : row + 1, :length],
                batch.target_lengths[row : row + 1],
            )  # fmt: skip
            found = model.teach(model.encode(alone.source, alone.source_lengths), alone).log_probabilities()
            torch.testing.assert_close(together[end - length : end], found, rtol=1e-4, atol=1e-5)

    @torch.no_grad()
    def test_rows_of_memory_and_state_can_be_reordered(self, options):
        model, batch = _model(**options), _batch()
        memory = model.encode(batch.source, batch.source_lengths)
        first = model.advance(batch.target_in[:, 0], memory, model.start(memory))
        rows, tokens = torch.tensor([2, 0, 0, 1]), torch.tensor([4, 9, 5, 7])
        choose = lambda tree: tree_map(lambda tensor: tensor[rows], tree)  # noqa: E731
        found = model.advance(tokens, choose(memory), choose(first.state)).log_probabilities
        for place, row in enumerate(rows.tolist()):
            one = tree_map(lambda tensor, row=row: tensor[row : row + 1], (memory, first.state))
            alone = model.advance(tokens[place : place + 1], *one).log_probabilities
            torch.testing.assert_close(found[place : place + 1], alone, rtol=1e-4, atol=1e-5)

    def test_loss_is_that_of_the_probabilities_and_reaches_every_weight(self, options):
        model, batch = _model(**options), _batch()
        with torch.no_grad():
            taught = model.teach(model.encode(batch.source, batch.source_lengths), batch)
            targets = batch.target_out[real_targets(batch)]
            nats = -taught.log_probabilities()[range(len(targets)), targets].mean() + (taught.penalty or 0)
            torch.testing.assert_close(model.loss(batch).mean, nats)
        model.train()
        loss = model.loss(batch)
        loss.mean.backward()
        assert loss.count == len(targets)
        without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
        assert without == []

    def test_final_step_loss_is_that_of_the_end(self, options):
        model, batch = _model(**options), _batch()
        together = model.teach(model.encode(batch.source, batch.source_lengths), batch).log_probabilities()
        ends = (batch.target_lengths.cumsum(0) - 1).tolist()
        torch.testing.assert_close(model.final_step_loss(batch), -together[ends, END].mean())


@torch.no_grad()
def test_the_parallel_decoder_reads_what_its_first_layer_asks_for():
    """The whole decoder once more, in a plain loop over rows and steps."""
    model, batch = _model(), _batch()
    memory = model.encode(batch.source, batch.source_lengths)
    expected = []
    decoder = model.decoder
    for row in range(3):
        first, above = model.start(tree_map(lambda t, row=row: t[row : row + 1], memory)).layers
        real = int(batch.source_lengths[row])
        for step in range(int(batch.target_lengths[row])):
            x = model.target_embedding.weight[batch.target_in[row, step]][None]
            hidden, first = decoder.cells()[0].step(x, first)
            scores = decoder.attention.query(hidden)[0] @ memory.final[1][row, :real].T / 6**0.5
            context = scores.softmax(0) @ memory.values[row, :real]
            top, above = decoder.cells()[1].step(torch.cat([hidden, context[None]], 1), above)
            features = torch.tanh(decoder.readout.hidden(top) + decoder.readout.context(context))
            expected.append((features @ model.target_embedding.weight.T + model.softmax.bias).log_softmax(1))
    torch.testing.assert_close(
        model.teach(memory, batch).log_probabilities(), torch.cat(expected), rtol=1e-4, atol=1e-5
    )


@torch.no_grad()
def test_input_feeding_feeds_the_attentional_vector():
    model, batch = _model(input_feeding=True, layers=1), _batch()
    memory = model.encode(batch.source, batch.source_lengths)
    decoder, row, real = model.decoder, 0, int(batch.source_lengths[0])
    (state,), fed, expected = model.start(tree_map(lambda t: t[:1], memory)).layers, torch.zeros(1, 6), []
    for step in range(int(batch.target_lengths[row])):
        x = model.target_embedding.weight[batch.target_in[row, step]][None]
        hidden, state = decoder.cells()[0].step(torch.cat([x, fed], 1), state)
        weights = (decoder.attention.query(hidden)[0] @ memory.final[1][row, :real].T / 6**0.5).softmax(0)
        fed = torch.tanh(decoder.readout.hidden(hidden) + decoder.readout.context(weights @ memory.values[row, :real]))
        expected.append((fed @ model.target_embedding.weight.T + model.softmax.bias).log_softmax(1))
    found = model.teach(memory, batch).log_probabilities()[: len(expected)]
    torch.testing.assert_close(found, torch.cat(expected), rtol=1e-4, atol=1e-5)


def test_tied_weights_are_one_tensor():
    tied, own = _model(), _model(tied=False)
    assert tied.softmax.weight is tied.target_embedding.weight is tied.source_embedding.weight
    assert len({id(w) for w in (own.softmax.weight, own.target_embedding.weight, own.source_embedding.weight)}) == 3
    separate = build_pair_model(PairSizes(11, V, False), PairSettings(hidden_size=6))
    assert separate.source_embedding.weight.shape == (11, 6)
    assert separate.softmax.weight is separate.target_embedding.weight


def test_copying_adds_the_attention_on_equal_symbols():
    torch.manual_seed(1)
    gate = CopyGate(4, 3)
    scores, features, embedded = torch.randn(2, 9), torch.randn(2, 4), torch.randn(2, 3)
    weights, source = torch.tensor([[0.2, 0.5, 0.3], [1.0, 0.0, 0.0]]), torch.tensor([[7, 2, 7], [4, 4, 8]])
    found = gate(scores, features, embedded, weights, source).exp()
    share = torch.sigmoid(gate.gate(torch.cat([features, embedded], 1)))
    expected = share * scores.softmax(1)
    for row in range(2):
        for place in range(3):
            expected[row, source[row, place]] += (1 - share[row, 0]) * weights[row, place]
    torch.testing.assert_close(found, expected)


@torch.no_grad()
def test_coverage_is_penalised_as_published():
    model, batch = _model(coverage=True, attention="additive", coverage_weight=0.7), _batch()
    memory = model.encode(batch.source, batch.source_lengths)
    state, total = model.start(memory), 0.0
    seen = torch.zeros(batch.source.shape)
    for step, token in enumerate(batch.target_in.unbind(1)):
        told = model.advance(token, memory, state)
        real = step < batch.target_lengths
        total += float(torch.minimum(told.attention, seen).sum(1)[real].sum())
        seen, state = seen + told.attention, told.state
    penalty = model.teach(memory, batch).penalty
    assert penalty is not None
    assert float(penalty) == pytest.approx(0.7 * total / int(batch.target_lengths.sum()), rel=1e-4)


def test_scheduled_sampling_feeds_the_models_own_symbols():
    model, batch = _model(scheduled_sampling=0.999999), _batch()
    memory = model.encode(batch.source, batch.source_lengths)
    model.eval()
    with torch.no_grad():
        likeliest = model.teach(memory, batch).log_probabilities().argmax(1)
    chosen = model._sampled(memory, batch)
    assert (chosen[:, 0] == batch.target_in[:, 0]).all()
    place = 0
    for row, length in enumerate(batch.target_lengths.tolist()):
        assert chosen[row, 1:length].tolist() == likeliest[place : place + length - 1].tolist()
        place += length


def test_label_smoothing_counts_in_training_alone():
    model, batch = _model(label_smoothing=0.3, dropout=0.0, embedding_dropout=0.0), _batch()
    plain = model.loss(batch).mean
    model.train()
    smoothed = model.loss(batch).mean
    assert float(smoothed.detach()) != pytest.approx(float(plain.detach()), rel=1e-3)


def test_what_cannot_be():
    with pytest.raises(OptionError, match="joint"):
        build_pair_model(PairSizes(9, 8, False), PairSettings(copy_source=True))
    with pytest.raises(OptionError, match="residual"):
        build_pair_model(PairSizes(9, 9, True), PairSettings(input_feeding=True, residual=True))
    with pytest.raises(OptionError, match="recurrent, transformer"):
        build_pair_model(PairSizes(9, 9, True), PairSettings(model="recurent"))
    with pytest.raises(ValueError, match="additive, location"):
        PairSettings(coverage=True)
