"""The CRF against all paths written out, with rules, lengths of 0 and 1, and NaN in the padding."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from echoic.data.tag_schemes import allowed, faults, tag_names
from echoic.errors import OptionError
from echoic.layers.crf import CRF

LENGTHS = [5, 1, 0, 3, 4]


def random_crf(tags: int, seed: int, rules: bool) -> CRF:
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    if rules:
        start, follow, end = (generator.random(shape) < 0.7 for shape in ((tags,), (tags, tags), (tags,)))
        start[0] = end[0] = follow[0, 0] = True
        crf = CRF(tags, start, follow, end)
    else:
        crf = CRF(tags)
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter, std=1.5)
    return crf.double()


def random_scores(tags: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(len(LENGTHS), max(LENGTHS), tags, generator=generator, dtype=torch.float64)
    for row, length in enumerate(LENGTHS):
        scores[row, length:] = torch.nan
    return scores, torch.tensor(LENGTHS)


def allowed_paths(crf: CRF, length: int) -> list[tuple[int, ...]]:
    tags = len(crf.start)
    return [
        path
        for path in itertools.product(range(tags), repeat=length)
        if not path
        or (
            crf.may_start[path[0]]
            and crf.may_end[path[-1]]
            and all(crf.may_follow[a, b] for a, b in itertools.pairwise(path))
        )
    ]


@torch.no_grad()
def score_of(crf: CRF, scores: torch.Tensor, path: tuple[int, ...]) -> float:
    if not path:
        return 0.0
    total = crf.start[path[0]] + crf.end[path[-1]] + sum(scores[t, tag] for t, tag in enumerate(path))
    return float(total + sum(crf.follow[a, b] for a, b in itertools.pairwise(path)))


@pytest.mark.parametrize("rules", [False, True])
@pytest.mark.parametrize(("tags", "seed"), [(1, 0), (2, 1), (3, 2), (4, 3)])
def test_all_paths_written_out(tags, seed, rules):
    crf = random_crf(tags, seed, rules)
    scores, lengths = random_scores(tags, seed)
    partition = crf.log_partition(scores, lengths)
    best, best_score = crf.viterbi(scores, lengths)
    marginals = crf.marginals(scores, lengths)
    for row, length in enumerate(LENGTHS):
        paths = allowed_paths(crf, length)
        values = np.array([score_of(crf, scores[row], path) for path in paths])
        expected = np.logaddexp.reduce(values)
        assert float(partition[row].detach()) == pytest.approx(expected, abs=1e-10)
        assert tuple(best[row, :length].tolist()) == paths[int(values.argmax())]
        assert (best[row, length:] == -1).all()
        assert float(best_score[row]) == pytest.approx(values.max(), abs=1e-10)
        for place in range(length):
            for tag in range(tags):
                share = sum(np.exp(v - expected) for v, path in zip(values, paths, strict=True) if path[place] == tag)
                assert float(marginals[row, place, tag]) == pytest.approx(share, abs=1e-10)
        assert (marginals[row, length:] == 0).all()


def test_path_scores_and_probabilities_add_up():
    crf = random_crf(3, 5, rules=False)
    scores, _ = random_scores(3, 5)
    lengths = torch.tensor([3, 3, 3, 3, 3])
    scores = scores.nan_to_num(0.3)
    total = torch.zeros(5, dtype=torch.float64)
    for path in itertools.product(range(3), repeat=3):
        tags = torch.tensor([[*path, 2, 1]] * 5)  # what stands past the end is not looked at
        total += crf.log_likelihood(scores, tags, lengths).exp().detach()
        assert float(crf.path_score(scores, tags, lengths)[2].detach()) == pytest.approx(score_of(crf, scores[2], path))
    assert total.tolist() == pytest.approx([1.0] * 5)


def test_lengths_of_nothing():
    crf = random_crf(3, 6, rules=True)
    scores = torch.full((2, 4, 3), torch.nan, dtype=torch.float64, requires_grad=True)
    lengths = torch.zeros(2, dtype=torch.int64)
    likelihood = crf.log_likelihood(scores, torch.zeros(2, 4, dtype=torch.int64), lengths)
    assert likelihood.tolist() == [0.0, 0.0]
    likelihood.sum().backward()
    assert scores.grad is not None
    assert (scores.grad == 0).all()
    assert all(torch.isfinite(p.grad).all() for p in crf.parameters() if p.grad is not None)


def test_rows_do_not_depend_on_their_batch():
    crf = random_crf(4, 7, rules=True)
    scores, lengths = random_scores(4, 7)
    whole = crf.log_partition(scores, lengths)
    for row, length in enumerate(LENGTHS):
        alone = crf.log_partition(scores[row : row + 1, : max(1, length)], lengths[row : row + 1])
        assert torch.allclose(alone[0], whole[row], rtol=0, atol=1e-12)


@pytest.mark.parametrize("rules", [False, True])
def test_gradients(rules):
    crf = random_crf(3, 8, rules)
    scores, lengths = random_scores(3, 8)
    scores = scores.nan_to_num(0.0).requires_grad_()
    tags = torch.randint(0, 3, (len(LENGTHS), max(LENGTHS)), generator=torch.Generator().manual_seed(8))
    parameters = list(crf.parameters())

    def likelihood(scores, *values):
        named = dict(zip([n for n, _ in crf.named_parameters()], values, strict=True))
        return torch.func.functional_call(
            _Likelihood(crf), {f"crf.{n}": v for n, v in named.items()}, (scores, tags, lengths)
        )

    assert torch.autograd.gradcheck(likelihood, (scores, *parameters))


class _Likelihood(torch.nn.Module):
    def __init__(self, crf: CRF) -> None:
        super().__init__()
        self.crf = crf

    def forward(self, scores, tags, lengths):
        return self.crf.log_likelihood(scores, tags, lengths)


@pytest.mark.parametrize("scheme", ["bio", "bioes", "bilou", "bmes"])
def test_no_rule_is_ever_broken(scheme):
    """Whatever the scores say, the decoded tags keep the rules of their scheme, also as one token alone."""
    names = tag_names(["PER", "LOC", "X-Y"], scheme)
    crf = CRF(len(names), *allowed(names, scheme))
    generator = torch.Generator().manual_seed(9)
    for parameter in crf.parameters():
        parameter.data = 30 * torch.randn(parameter.shape, generator=generator)
    lengths = torch.randint(0, 12, (200,), generator=generator)
    scores = 30 * torch.randn(200, 12, len(names), generator=generator)
    best, _ = crf.viterbi(scores, lengths)
    for row, length in zip(best.tolist(), lengths.tolist(), strict=True):
        tags = [names[number] for number in row[:length]]
        assert faults(tags, scheme) == []
        assert set(row[length:]) <= {-1}
    marginals = crf.marginals(scores, lengths)
    follow = allowed(names, scheme).follow
    start = torch.from_numpy(allowed(names, scheme).start)
    assert (marginals[lengths > 0, 0][:, ~start] < 1e-12).all()
    assert not follow.all()


def test_large_scores_neither_overflow_nor_vanish():
    crf = random_crf(3, 10, rules=True)
    scores = torch.tensor([[[300.0, -300.0, 0.0], [-300.0, 300.0, 0.0], [0.0, 0.0, 300.0]]])
    lengths = torch.tensor([3])
    paths = allowed_paths(crf, 3)
    expected = np.logaddexp.reduce([score_of(crf, scores[0].double(), path) for path in paths])
    assert float(crf.log_partition(scores, lengths).detach()) == pytest.approx(expected, abs=1e-6)


def test_rules_of_another_size_are_refused():
    with pytest.raises(OptionError, match="follow"):
        CRF(3, follow=np.ones((3, 2), bool))
