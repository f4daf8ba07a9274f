import numpy as np
import polars as pl
import pytest
import torch
from torch.nn import functional

from echoic.data.classified import Classified
from echoic.data.examples import Examples
from echoic.layers.pooling import POOLINGS
from echoic.models.classifier import ClassifierSettings, NumberInput, PlaceWaves, SequenceClassifier, SymbolInput


def part_of(inputs: list[np.ndarray], labels: list[int]) -> Classified:
    count = len(inputs)
    examples = Examples("x", inputs, ["?"] * count, list(range(count)), pl.DataFrame({"case": range(count)}), ["f"])
    return Classified(examples, inputs, np.array(labels))


def texts(random: np.random.Generator) -> Classified:
    return part_of([random.integers(0, 11, n) for n in (5, 1, 0, 9, 2)], [0, 2, 1, -1, 2])


def numbers(random: np.random.Generator) -> Classified:
    return part_of([random.normal(size=(n, 3)).astype(np.float32) for n in (5, 1, 0, 9, 2)], [0, 2, 1, -1, 2])


def model_for(kind, **options) -> SequenceClassifier:
    torch.manual_seed(1)
    settings = ClassifierSettings(hidden_size=7, embedding_size=5, **options)
    inputs = SymbolInput(11, settings) if kind is texts else NumberInput(3, settings)
    return SequenceClassifier(inputs, 3, settings, options.get("weights"))


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("kind", [texts, numbers])
def test_a_row_is_judged_alone(kind, pooling):
    """Padding and neighbours change nothing, a row without steps included."""
    part = kind(np.random.default_rng(2))
    model = model_for(kind, pooling=pooling, layers=2, place_waves=2).eval()
    together = model.probabilities(part.collate(np.array([3, 0, 2, 1, 4])))
    for place, row in enumerate([3, 0, 2, 1, 4]):
        alone = model.probabilities(part.collate(np.array([row])))[0]
        assert torch.allclose(together[place], alone, atol=1e-6)
    assert torch.allclose(together.sum(dim=1), torch.ones(5))


def test_the_loss_is_weighted_cross_entropy_of_the_labelled():
    part = texts(np.random.default_rng(3))
    settings = ClassifierSettings(hidden_size=7, embedding_size=5, label_smoothing=0.3)
    weights = np.array([0.5, 1.0, 3.0])
    model = SequenceClassifier(SymbolInput(11, settings), 3, settings, weights).eval()
    batch = part.collate(np.arange(5))
    probabilities = model.probabilities(batch).double().numpy()
    nats = -np.log(probabilities[[0, 1, 2, 4], [0, 2, 1, 2]])
    mean, count, carry = model.loss(batch)
    assert float(mean.detach()) == pytest.approx(np.average(nats, weights=weights[[0, 2, 1, 2]]), rel=1e-5)
    assert count == 4
    assert carry is None
    model.train()
    scores = model(batch.inputs, batch.lengths)
    torch.manual_seed(5)
    smoothed = model.loss(batch).mean
    torch.manual_seed(5)
    scores = model(batch.inputs, batch.lengths)
    expected = functional.cross_entropy(
        scores, batch.labels, torch.tensor(weights, dtype=torch.float32), ignore_index=-1, label_smoothing=0.3
    )
    assert float(smoothed.detach()) == pytest.approx(float(expected.detach()))


@pytest.mark.parametrize("kind", [texts, numbers])
def test_noise_is_for_training_alone(kind):
    part = kind(np.random.default_rng(4))
    model = model_for(kind, word_dropout=0.5, input_noise=0.7, dropout=0.0, embedding_dropout=0.0)
    batch = part.collate(np.array([0, 3]))
    model.eval()
    assert torch.equal(model(batch.inputs, batch.lengths), model(batch.inputs, batch.lengths))
    model.train()
    torch.manual_seed(0)
    assert not torch.equal(model(batch.inputs, batch.lengths), model(batch.inputs, batch.lengths))


def test_the_final_step_loss_depends_on_the_last_output_alone():
    part = numbers(np.random.default_rng(5))
    model = model_for(numbers, pooling="mean", bidirectional=False).eval()
    batch = part.collate(np.array([3, 0]))
    outputs: list[torch.Tensor] = []
    model.recurrent.register_forward_hook(lambda *a: (outputs.append(a[2][0]), a[2][0].retain_grad())[0])
    model.final_step_loss(batch._replace(labels=torch.tensor([1, 2]))).backward()
    gradient = outputs[0].grad
    assert gradient is not None
    steps = gradient.abs().sum(dim=2) > 0
    assert steps.nonzero().tolist() == [[0, 8], [1, 4]]


def test_unknown_pooling():
    with pytest.raises(ValueError, match="attention"):
        ClassifierSettings(pooling="sum")


def test_waves_tell_the_place():
    inputs = torch.randn(2, 9, 3)
    found = PlaceWaves(3)(inputs)
    assert torch.equal(found[:, :, :3], inputs)
    for step in range(9):
        angles = [2 * np.pi * step / period for period in (4, 8, 16)]
        assert found[1, step, 3:].numpy() == pytest.approx([*np.sin(angles), *np.cos(angles)], abs=1e-6)
    assert PlaceWaves(0)(inputs) is inputs
