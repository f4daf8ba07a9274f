"""The Transformer: stepping = all at once, padding changes nothing, nothing looks ahead."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from echoic.data.pair_batch import START, pair_batch
from echoic.errors import OptionError
from echoic.models.pair_models import build_pair_model
from echoic.models.pair_settings import PairSettings, PairSizes
from echoic.models.sequence_to_sequence import PairBatch
from echoic.models.transformer import Transformer
from echoic.models.transformer_layers import DecoderLayer, EncoderLayer, TransformerSize, waves


def model_for(shared: bool = True, **options) -> Transformer:
    """In double, with weights that are neither small nor symmetric."""
    torch.manual_seed(4)
    sizes = {"model": "transformer", "layers": 3, "hidden_size": 12, "heads": 3, "feedforward_size": 17}
    model = build_pair_model(PairSizes(13, 13 if shared else 9, shared), PairSettings(**(sizes | options))).double()
    assert isinstance(model, Transformer)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model.eval()


def pairs(seed: int = 0, target_symbols: int = 13) -> tuple[list[np.ndarray], list[np.ndarray]]:
    random = np.random.default_rng(seed)
    sources = [random.integers(2, 13, n) for n in (5, 1, 0, 9, 3)]
    return sources, [random.integers(2, target_symbols, n) for n in (3, 7, 1, 0, 5)]


def stepped(model: Transformer, batch: PairBatch) -> tuple[torch.Tensor, torch.Tensor]:
    """ln p [B, T, V] and attention [B, T, S], a symbol at a time."""
    memory = model.encode(batch.source, batch.source_lengths)
    state, told = model.start(memory), []
    for tokens in batch.target_in.T:
        told.append(model.advance(tokens, memory, state))
        state = told[-1].state
    return torch.stack([t.log_probabilities for t in told], 1), torch.stack([t.attention for t in told], 1)


@pytest.mark.parametrize(("shared", "copies", "tied"), [(True, False, True), (True, True, False), (False, False, True)])
def test_stepping_is_the_whole_at_once(shared, copies, tied):
    model, batch = (
        model_for(shared, copy_source=copies, tied=tied),
        pair_batch(*pairs(target_symbols=13 if shared else 9)),
    )
    taught = model.teach(model.encode(batch.source, batch.source_lengths), batch).log_probabilities()
    told, looks = stepped(model, batch)
    real = torch.arange(told.shape[1]) < batch.target_lengths[:, None]
    assert torch.allclose(taught, told[real], atol=1e-10)
    assert torch.allclose(looks.sum(dim=2), torch.ones_like(looks[:, :, 0]))
    assert not looks[torch.arange(batch.source.shape[1]) >= batch.source_lengths[:, None, None].expand_as(looks)].any()


@pytest.mark.parametrize("copies", [False, True])
def test_a_row_is_read_and_written_alone(copies):
    """What padding holds and who else is in the batch change nothing: scores and gradients."""
    model, (sources, targets) = model_for(copy_source=copies), pairs()
    batch = pair_batch(sources, targets)
    padding = torch.arange(batch.source.shape[1]) >= batch.source_lengths[:, None]
    batch = batch._replace(source=batch.source.masked_fill(padding, 7))
    together = model.teach(model.encode(batch.source, batch.source_lengths), batch).log_probabilities()
    for row, scores in enumerate(together.split(batch.target_lengths.tolist())):
        alone = pair_batch([sources[row]], [targets[row]])
        taught = model.teach(model.encode(alone.source, alone.source_lengths), alone).log_probabilities()
        assert torch.allclose(scores, taught, atol=1e-10)
        parameters = list(model.parameters())
        ours = torch.autograd.grad(scores.square().sum(), parameters, retain_graph=True)
        theirs = torch.autograd.grad(taught.square().sum(), parameters)
        for one, other in zip(ours, theirs, strict=True):
            assert torch.allclose(one, other, atol=1e-8)


def test_a_source_without_symbols_is_read():
    model = model_for()
    memory = model.encode(torch.tensor([[5, 6], [7, 8]]), torch.tensor([0, 2]))
    told = model.advance(torch.tensor([START, START]), memory, model.start(memory))
    assert bool(told.log_probabilities.isfinite().all())


def test_no_symbol_sees_what_comes_later():
    model, batch = model_for(), pair_batch(*pairs())
    embedded: list[torch.Tensor] = []
    model.target_embedding.register_forward_hook(
        lambda module, inputs, output: embedded.append(output) or output.retain_grad()
    )
    taught = model.teach(model.encode(batch.source, batch.source_lengths), batch)
    step, row = 4, 1
    place = int(batch.target_lengths[:row].sum()) + step
    taught.log_probabilities()[place].square().sum().backward()
    gradient = embedded[-1].grad
    assert gradient is not None
    assert gradient.abs().sum(dim=2).nonzero().tolist() == [[row, t] for t in range(step + 1)]


def test_layers_are_those_of_torch():
    """The same weights in ``torch.nn.TransformerEncoderLayer`` and ``TransformerDecoderLayer`` give the same."""
    torch.manual_seed(6)
    size = TransformerSize(12, 3, 17, 0.0)
    inputs, source = torch.randn(4, 5, 12), torch.randn(4, 7, 12)
    visible = torch.arange(7) < torch.tensor([7, 1, 4, 6])[:, None]
    options = {"dropout": 0.0, "batch_first": True, "norm_first": True}
    encoder, decoder = EncoderLayer(size), DecoderLayer(size)
    for module in (encoder, decoder):
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.4)
    theirs = nn.TransformerEncoderLayer(12, 3, 17, **options)
    _give(theirs, encoder, {"self_attn": encoder.attention})
    assert torch.allclose(
        encoder(source, visible)[visible], theirs(source, src_key_padding_mask=~visible)[visible], atol=1e-5
    )
    other = nn.TransformerDecoderLayer(12, 3, 17, **options)
    _give(other, decoder, {"self_attn": decoder.own, "multihead_attn": decoder.source})
    causal = nn.Transformer.generate_square_subsequent_mask(5)
    expected = other(inputs, source, tgt_mask=causal, memory_key_padding_mask=~visible, tgt_is_causal=True)
    found, _ = decoder(inputs, decoder.source.key_value(source), visible)
    assert torch.allclose(found, expected, atol=1e-5)


@torch.no_grad()
def _give(theirs: nn.Module, ours, attentions: dict) -> None:
    for name, attention in attentions.items():
        layer = getattr(theirs, name)
        layer.in_proj_weight.copy_(torch.cat([attention.query.weight, attention.key_value.weight]))
        layer.in_proj_bias.copy_(torch.cat([attention.query.bias, attention.key_value.bias]))
        layer.out_proj.load_state_dict(attention.output.state_dict())
    theirs.linear1.load_state_dict(ours.feed_forward.inner.state_dict())
    theirs.linear2.load_state_dict(ours.feed_forward.output.state_dict())
    for place, norm in enumerate(ours.norms, start=1):
        getattr(theirs, f"norm{place}").load_state_dict(norm.state_dict())


def test_places_are_told_apart_by_waves():
    found = waves(3, 8, 7, torch.zeros(1, dtype=torch.float64))
    for row, place in enumerate(range(3, 8)):
        turns = [place / 10_000 ** (i / 4) for i in range(4)]
        assert found[row].tolist() == pytest.approx([*np.sin(turns), *np.cos(turns)][:7])


@torch.no_grad()
def test_the_loss_is_smoothed_cross_entropy_of_the_targets():
    model = model_for(dropout=0.0, embedding_dropout=0.0, label_smoothing=0.3)
    batch = pair_batch(*pairs())
    told, _ = stepped(model, batch)
    real = torch.arange(told.shape[1]) < batch.target_lengths[:, None]
    targets = batch.target_out[real]
    mean, count, _ = model.loss(batch)
    assert count == int(batch.target_lengths.sum())
    assert float(mean) == pytest.approx(float(functional.nll_loss(told[real], targets)))
    expected = functional.cross_entropy(told[real], targets, label_smoothing=0.3)
    assert float(model.train().loss(batch).mean) == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 5}, "multiple of heads"),
        ({"embedding_size": 6}, "embedding_size"),
        ({"coverage": True, "attention": "additive"}, "coverage"),
        ({"input_feeding": True}, "input_feeding"),
    ],
)
def test_what_cannot_be(options, message):
    with pytest.raises(OptionError, match=message):
        model_for(**options)
    with pytest.raises(OptionError, match="joint"):
        model_for(shared=False, copy_source=True)
