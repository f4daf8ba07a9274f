"""Sampling: each option narrows the choice as it says, text comes in whole characters, seeds repeat it."""

from __future__ import annotations

import pytest
import torch

from echoic.data.units import UNITS
from echoic.data.vocabulary import BOUNDARY, UNKNOWN
from echoic.errors import OptionError
from echoic.models.language_model import LanguageModel, LanguageModelSettings
from echoic.models.sampling import Sampling, Writer, choose, symbols_after

TEXT = ["one two three 床前明月光 four 🙂 " * 9]
LIKELY = torch.tensor([[0.05, 0.4, 0.2, 0.05, 0.3]]).log()


def drawn(sampling: Sampling, times: int = 2000) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    symbols = choose(LIKELY.expand(times, -1), sampling, generator)
    return symbols.bincount(minlength=5) / times


def test_temperature():
    assert drawn(Sampling(temperature=0)).tolist() == [0, 1, 0, 0, 0]
    assert drawn(Sampling(temperature=1)).tolist() == pytest.approx(LIKELY.exp()[0].tolist(), abs=0.03)
    cold = LIKELY.exp()[0] ** 2
    assert drawn(Sampling(temperature=0.5)).tolist() == pytest.approx((cold / cold.sum()).tolist(), abs=0.03)


def test_top_k():
    assert drawn(Sampling(temperature=1, top_k=2)).tolist() == pytest.approx([0, 4 / 7, 0, 0, 3 / 7], abs=0.03)
    assert drawn(Sampling(temperature=3, top_k=1))[1] == 1
    assert (drawn(Sampling(temperature=1, top_k=99)) > 0).all()


def test_top_p():
    assert drawn(Sampling(temperature=1, top_p=0.6)).tolist() == pytest.approx([0, 4 / 7, 0, 0, 3 / 7], abs=0.03)
    assert drawn(Sampling(temperature=1, top_p=0.01))[1] == 1
    assert (drawn(Sampling(temperature=1, top_p=1.0)) > 0).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"length": -1},
        {"top_k": 0},
        {"top_p": 0},
        {"top_p": 1.5},
        {"stop": ""},
        {"seed": -4},
    ],
)
def test_options_that_cannot_be(wrong):
    with pytest.raises(OptionError, match=next(iter(wrong))):
        Sampling(**wrong)


@pytest.fixture(scope="module", params=list(UNITS))
def writer(request) -> Writer:
    vocabulary = UNITS[request.param].fit(TEXT, 300)
    torch.manual_seed(1)
    model = LanguageModel(vocabulary.size, LanguageModelSettings(hidden_size=9))
    return Writer(model, vocabulary, (UNKNOWN, BOUNDARY), -1)


def test_a_seed_repeats_the_text(writer):
    prompt = writer.vocabulary.encode("one").tolist()
    texts = ["".join(writer.write(prompt, Sampling(length=60, seed=seed, temperature=1))) for seed in (3, 3, 4)]
    assert texts[0] == texts[1] != texts[2]
    unseeded = {"".join(writer.write(prompt, Sampling(length=60, temperature=1))) for _ in range(3)}
    assert len(unseeded) > 1


def test_sampling_leaves_other_random_numbers_alone(writer):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    list(writer.write([2], Sampling(length=5)))
    assert torch.equal(torch.rand(3), expected)


def test_forbidden_symbols_are_never_written(writer):
    steps = list(symbols_after(writer.model, [[2]], Sampling(length=300, temperature=5, seed=0), (UNKNOWN, BOUNDARY)))
    assert len(steps) == 300
    assert not {int(step[0]) for step in steps} & {UNKNOWN, BOUNDARY}


def test_pieces_together_are_the_symbols_text(writer):
    sampling = Sampling(length=80, temperature=1.5, seed=2)
    symbols = [int(step[0]) for step in symbols_after(writer.model, [[5]], sampling, writer.forbidden)]
    assert "".join(writer.write([5], sampling)) == writer.vocabulary.decode(symbols)


def test_the_text_ends_after_the_stop(writer):
    whole = "".join(writer.write([5], Sampling(length=200, temperature=1.5, seed=2)))
    for stop in (whole[20:23], whole[7], whole[1:30], "not in the text at all"):
        text = "".join(writer.write([5], Sampling(length=200, temperature=1.5, seed=2, stop=stop)))
        end = whole.find(stop)
        assert text == (whole if end < 0 else whole[: end + len(stop)])


def test_many_at_once_as_each_alone(writer):
    """Without randomness a row does not depend on its neighbours, though prompts are of unequal length."""
    prompts = [writer.vocabulary.encode(text).tolist() for text in ("one two", "t", "床前明月")]
    sampling = Sampling(length=30, temperature=0, stop="e")
    together = writer.write_all(prompts, sampling)
    assert together == ["".join(writer.write(prompt, sampling)) for prompt in prompts]
    assert writer.write_all([], sampling) == []


def test_the_end_symbol_ends_a_row():
    class Scripted(LanguageModel):
        """Foretells the symbol after the one it read."""

        def read(self, inputs, state=None, lengths=None):
            last = inputs[:, -1] if lengths is None else inputs[torch.arange(len(inputs)), lengths - 1]
            return torch.nn.functional.one_hot((last - 1) % 7, 7).float().log(), state

    vocabulary = UNITS["character"].fit(["aaaaabbbbcccdde"])
    model = Scripted(7, LanguageModelSettings(hidden_size=3))
    writer = Writer(model, vocabulary, (UNKNOWN,), end=BOUNDARY)
    assert "".join(writer.write([4], Sampling(temperature=0))) == "ba"
    assert writer.write_all([[6], [3], [2]], Sampling(temperature=0)) == ["dcba", "a", ""]
    assert writer.write_all([[6], [3]], Sampling(temperature=0, length=2)) == ["dc", "a"]
