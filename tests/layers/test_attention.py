"""Attention against the published formulas written out in loops, and what all kinds have in common."""

import math

import pytest
import torch

from echoic.errors import OptionError
from echoic.layers.attention import ATTENTIONS, Past, build_attention

Q, M = 6, 6  # equal, so that dot attention takes part
LENGTHS = (5, 3, 1)


def _case(name, coverage=False, dtype=torch.float64):
    generator = torch.Generator().manual_seed(len(name))
    options = {"heads": 3} if name == "multi-head" else {}
    attention = build_attention(name, Q, M, coverage, **options).to(dtype)
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter, std=0.7, generator=generator)
    values = torch.randn(3, 5, M, dtype=dtype, generator=generator)
    queries = torch.randn(3, 4, Q, dtype=dtype, generator=generator)
    mask = torch.arange(5) < torch.tensor(LENGTHS)[:, None]
    return attention, queries, values, mask


def _dot(attention, q, v, past):
    return q @ v


def _multiplicative(attention, q, v, past):
    return q @ attention.key.weight @ v


def _scaled(attention, q, v, past):
    return (attention.query(q) @ (attention.key.weight @ v)) / math.sqrt(Q)


def _additive(attention, q, v, past):
    inside = attention.query.weight @ q + attention.key(v)
    if attention.covered is not None:
        inside = inside + attention.covered.weight[:, 0] * past
    return attention.score.weight[0] @ torch.tanh(inside)


FORMULAS = {"dot": _dot, "multiplicative": _multiplicative, "scaled-dot": _scaled, "additive": _additive}


@pytest.mark.parametrize("coverage", [False, True])
@pytest.mark.parametrize("name", FORMULAS)
def test_each_kind_is_its_formula(name, coverage):
    if coverage and not ATTENTIONS[name].takes_coverage:
        pytest.skip("no place for coverage")
    attention, queries, values, mask = _case(name, coverage)
    found = attention(queries, attention.prepare(values, mask))
    for row, length in enumerate(LENGTHS):
        covered = torch.zeros(length, dtype=queries.dtype)
        for step, query in enumerate(queries[row]):
            real = values[row, :length]
            scores = [FORMULAS[name](attention, query, real[s], covered[s]) for s in range(length)]
            weights = torch.stack(scores).softmax(0)
            torch.testing.assert_close(found.weights[row, step, :length], weights)
            torch.testing.assert_close(found.context[row, step], weights @ real)
            covered = covered + weights
        torch.testing.assert_close(found.past.coverage[row, :length], covered)


def test_location_aware_sees_the_previous_weights_through_its_filters():
    attention, queries, values, mask = _case("location")
    sources = attention.prepare(values, mask)
    found = attention(queries, sources)
    row, step, half = 0, 2, attention.look.kernel_size[0] // 2
    previous = found.weights[row, step - 1]
    padded = torch.nn.functional.pad(previous, (half, half))
    scores = []
    for place in range(5):
        window = padded[place : place + 2 * half + 1]
        located = attention.located.weight @ (attention.look.weight[:, 0] @ window)
        inside = attention.query.weight @ queries[row, step] + attention.key(values[row, place]) + located
        scores.append(attention.score.weight[0] @ torch.tanh(inside))
    torch.testing.assert_close(found.weights[row, step], torch.stack(scores).softmax(0))


def test_multi_head_is_torchs_with_the_same_weights():
    attention, queries, values, mask = _case("multi-head")
    peer = torch.nn.MultiheadAttention(M, attention.heads, batch_first=True).double()
    with torch.no_grad():
        peer.in_proj_weight.copy_(torch.cat([attention.query.weight, attention.key.weight, attention.value.weight]))
        bias = [attention.query.bias, torch.zeros(M).double(), attention.value.bias]
        peer.in_proj_bias.copy_(torch.cat(bias))
        peer.out_proj.load_state_dict(attention.out.state_dict())
    found = attention(queries, attention.prepare(values, mask))
    context, weights = peer(queries, values, values, key_padding_mask=~mask)
    torch.testing.assert_close(found.context, context)
    torch.testing.assert_close(found.weights, weights)


@pytest.mark.parametrize("name", ATTENTIONS)
class TestEveryKind:
    def test_weights_lie_on_real_steps_and_add_up_to_one(self, name):
        attention, queries, values, mask = _case(name)
        weights = attention(queries, attention.prepare(values, mask)).weights
        torch.testing.assert_close(weights.sum(2), torch.ones(3, 4, dtype=weights.dtype))
        assert not weights.masked_select(~mask[:, None].expand_as(weights)).any()

    def test_padding_changes_nothing(self, name):
        attention, queries, values, mask = _case(name)
        other = torch.where(mask[:, :, None], values, 1e3)
        first, second = (attention(queries, attention.prepare(v, mask)) for v in (values, other))
        torch.testing.assert_close(first.context, second.context)
        alone = attention(queries[1:2], attention.prepare(values[1:2, :3], mask[1:2, :3]))
        torch.testing.assert_close(first.context[1:2], alone.context)
        torch.testing.assert_close(first.weights[1:2, :, :3], alone.weights)

    def test_a_step_at_a_time_is_all_at_once(self, name):
        attention, queries, values, mask = _case(name, ATTENTIONS[name].takes_coverage)
        sources = attention.prepare(values, mask)
        together, past = attention(queries, sources), None
        for step in range(queries.shape[1]):
            single = attention(queries[:, step : step + 1], sources, past)
            past = single.past
            torch.testing.assert_close(single.context[:, 0], together.context[:, step])
            torch.testing.assert_close(single.weights[:, 0], together.weights[:, step])
        assert past is not None
        for ours, theirs in zip(past, together.past, strict=True):
            torch.testing.assert_close(ours, theirs)

    def test_a_source_without_steps_gives_zeros_and_no_nan(self, name):
        attention, queries, values, _ = _case(name)
        found = attention(queries, attention.prepare(values, torch.zeros(3, 5, dtype=torch.bool)))
        assert not found.weights.any()
        assert torch.isfinite(found.context).all()

    def test_gradients(self, name):
        attention, queries, values, mask = _case(name)

        def run(q, v):
            return attention(q, attention.prepare(v, mask))[:2]

        assert torch.autograd.gradcheck(run, (queries[:, :2].requires_grad_(), values.requires_grad_()))


@pytest.mark.parametrize("name", [name for name, kind in ATTENTIONS.items() if kind.takes_coverage])
def test_coverage_moves_the_weights(name):
    attention, queries, values, mask = _case(name, coverage=True)
    sources = attention.prepare(values, mask)
    nothing = attention.no_past(sources)
    covered = Past(nothing.coverage + torch.tensor([3.0, 0, 0, 0, 0]), nothing.previous)
    first = attention(queries[:, :1], sources, nothing).weights
    second = attention(queries[:, :1], sources, covered).weights
    assert (first[0] - second[0]).abs().max() > 1e-3


def test_what_cannot_be():
    with pytest.raises(OptionError, match="additive"):
        build_attention("aditive", 3, 3)
    with pytest.raises(OptionError, match="Choose among additive"):
        build_attention("dot", 3, 3, coverage=True)
    with pytest.raises(OptionError, match="3 features with values of 4"):
        build_attention("dot", 3, 4)
    with pytest.raises(OptionError, match="cannot be shared"):
        build_attention("multi-head", 4, 6, heads=4)
    with pytest.raises(OptionError, match="odd"):
        build_attention("location", 4, 6, width=4)
