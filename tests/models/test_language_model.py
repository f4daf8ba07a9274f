"""The language model: every target counts once, the state goes on, outputs of all kinds are distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from echoic.data.streams import HeldOutStreams, StreamBatch, Symbols
from echoic.errors import OptionError
from echoic.models.language_model import LanguageModel, LanguageModelSettings, nats_of
from echoic.models.softmax import AdaptiveSoftmax, FullSoftmax

SIZES = {
    "tied": {"embedding_size": 7, "tied": True},
    "tied and projected": {"embedding_size": 5, "tied": True},
    "untied": {"embedding_size": 3, "tied": False},
    "adaptive": {"softmax": "adaptive"},
}
CELLS = ["LSTM", "GRU", "Elman"]


def model_of(vocabulary_size: int = 300, **options) -> LanguageModel:
    torch.manual_seed(5)
    return LanguageModel(vocabulary_size, LanguageModelSettings(hidden_size=7, layers=2, dropout=0.0, **options))


def batch_of(rows: int, steps: int, size: int = 300, seed: int = 0) -> StreamBatch:
    symbols = torch.from_numpy(np.random.default_rng(seed).integers(0, size, (rows, steps + 1)))
    return StreamBatch(symbols[:, :-1], symbols[:, 1:], torch.zeros(rows, dtype=torch.bool))


@pytest.mark.parametrize("options", SIZES.values(), ids=SIZES)
def test_probabilities_sum_to_one_and_agree_with_the_loss(options):
    model, batch = model_of(**options), batch_of(3, 9)
    loss = model.loss(batch)
    assert loss.count == 27
    total, state = 0.0, None
    for step in range(9):
        scores, state = model.read(batch.inputs[:, step : step + 1], state)
        assert scores.exp().sum(dim=1).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
        total -= float(scores.gather(1, batch.targets[:, step : step + 1]).sum())
    assert float(loss.mean.detach()) == pytest.approx(total / 27, rel=1e-5)


@pytest.mark.parametrize("options", SIZES.values(), ids=SIZES)
def test_every_weight_learns(options):
    model = model_of(**options)
    model.loss(batch_of(40, 20)).mean.backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name


def test_tied_weights_are_stored_once():
    tied, untied = model_of(embedding_size=7, tied=True), model_of(embedding_size=7, tied=False)
    assert sum(p.numel() for p in untied.parameters()) - sum(p.numel() for p in tied.parameters()) == 300 * 7
    assert set(untied.state_dict()) - set(tied.state_dict()) == {"softmax.weight"}


def test_the_softmax_follows_the_vocabulary():
    settings = LanguageModelSettings(hidden_size=16)
    assert isinstance(LanguageModel(19_999, settings).softmax, FullSoftmax)
    assert isinstance(LanguageModel(20_000, settings).softmax, AdaptiveSoftmax)
    with pytest.raises(OptionError, match="256"):
        model_of(100, softmax="adaptive")


@pytest.mark.parametrize("cell", CELLS)
def test_chunks_with_the_state_carried_are_the_whole(cell):
    model, batch = model_of(cell=cell), batch_of(4, 23)
    whole = model.loss(batch)
    total, carry = 0.0, None
    for start, stop in ((0, 9), (9, 10), (10, 23)):
        part = StreamBatch(batch.inputs[:, start:stop], batch.targets[:, start:stop], batch.fresh)
        loss = model.loss(part, carry)
        total, carry = total + float(loss.mean.detach()) * loss.count, loss.carry
    assert total / whole.count == pytest.approx(float(whole.mean.detach()), rel=1e-5)


@pytest.mark.parametrize("learn_initial_state", [False, True])
def test_fresh_rows_forget_the_others_do_not(learn_initial_state):
    model = model_of(learn_initial_state=learn_initial_state)
    if learn_initial_state:
        for weight in model.recurrent.initial:
            torch.nn.init.normal_(weight)
    before, after = batch_of(3, 5, seed=1), batch_of(3, 6, seed=2)
    carry = model.loss(before).carry
    fresh = torch.tensor([False, True, False])
    mixed = model.features(after.inputs, model._begun(carry, fresh))[0]
    assert torch.allclose(mixed[1], model.features(after.inputs)[0][1], atol=1e-6)
    carried = model.features(after.inputs, carry)[0]
    assert torch.allclose(mixed[[0, 2]], carried[[0, 2]], atol=1e-6)
    assert not torch.allclose(mixed[1], carried[1], atol=1e-3)


def test_targets_that_are_not_scored_count_nothing():
    model, batch = model_of(), batch_of(3, 8)
    targets = batch.targets.clone()
    targets[1, :5] = targets[2] = -100
    loss = model.loss(batch._replace(targets=targets))
    assert loss.count == 11
    features = model.features(batch.inputs)[0]
    scored = targets >= 0
    assert float(loss.mean.detach()) == pytest.approx(
        float(model.softmax.nats(features[scored], targets[scored]).mean().detach()), rel=1e-5
    )
    assert model.loss(batch._replace(targets=torch.full_like(targets, -100))).count == 0


def test_the_last_step_alone():
    model, batch = model_of(), batch_of(2, 6)
    loss = model.final_step_loss(batch)
    other = batch.targets.clone()
    other[:, :-1] = 3
    assert float(model.final_step_loss(batch._replace(targets=other)).detach()) == float(loss.detach())


@pytest.mark.parametrize("rows", [1, 3])
def test_a_text_is_scored_as_if_read_at_once(rows):
    """In one row: exactly. In several, warmed up: closely, since a state forgets."""
    model = model_of(50, softmax="full")
    symbols = np.random.default_rng(3).integers(0, 50, 1400)
    text = Symbols(symbols, np.zeros(1, np.int64), 1399, False)
    streams = HeldOutStreams(text, rows, 37, warm_up=64)
    nats = nats_of(model, streams)
    inputs = torch.from_numpy(symbols)[None]
    features = model.features(inputs[:, :-1])[0][0]
    assert nats == pytest.approx(model.softmax.nats(features, inputs[0, 1:]).detach().numpy(), rel=1e-3)


def test_prompts_of_unequal_length_are_read_to_their_own_ends():
    model, inputs = model_of(), batch_of(3, 8).inputs
    lengths = torch.tensor([8, 1, 5])
    together, _ = model.read(inputs, None, lengths)
    for row, length in enumerate(lengths.tolist()):
        alone, _ = model.read(inputs[row : row + 1, :length])
        assert torch.allclose(together[row], alone[0], atol=1e-5)


def test_reading_in_both_directions_is_refused():
    with pytest.raises(ValidationError, match="one direction"):
        LanguageModelSettings(bidirectional=True)


def test_locked_dropout_drops_the_same_features_at_all_steps():
    torch.manual_seed(0)
    model = LanguageModel(30, LanguageModelSettings(hidden_size=64, dropout=0.5, locked_dropout=True))
    model.train()
    dropped = model.features(batch_of(2, 11, 30).inputs)[0] == 0
    assert 0.3 < dropped.float().mean() < 0.7
    assert (dropped == dropped[:, :1]).all()
