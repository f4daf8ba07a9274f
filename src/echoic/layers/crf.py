"""Linear-chain conditional random field: the best sequence of tags as a whole, not the best tag at each place."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from echoic.errors import OptionError

TINY = 1e-300  # weight of what cannot be reached: exp(-690) of the best, in float64


class CRF(nn.Module):
    """Scores of tag sequences: a score at each place plus one for each pair of neighbours (Lafferty et al., 2001).

    The recursions run in float64, so that long sums lose nothing. K is the number of tags. A row of no steps has one
    path, the empty one, of score 0.

    Args:
        tags: K.
        start, follow, end: what may stand first [K], after which [K, K] (row: before), and last [K], as booleans;
            None allows everything. What is not allowed has no probability and is never decoded.

    Raises:
        OptionError: rules of another size.
    """

    may_start: Tensor
    may_follow: Tensor
    may_end: Tensor

    def __init__(
        self,
        tags: int,
        start: np.ndarray | None = None,
        follow: np.ndarray | None = None,
        end: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(tags))
        self.follow = nn.Parameter(torch.zeros(tags, tags))
        self.end = nn.Parameter(torch.zeros(tags))
        for name, rule, shape in (("start", start, (tags,)), ("follow", follow, (tags, tags)), ("end", end, (tags,))):
            if rule is not None and rule.shape != shape:
                raise OptionError(f"rules of {name}: found the shape {list(rule.shape)}, expected {list(shape)}.")
            values = torch.ones(shape, dtype=torch.bool) if rule is None else torch.from_numpy(rule.astype(bool))
            self.register_buffer(f"may_{name}", values, persistent=False)

    def log_likelihood(self, scores: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """ln p of given tags, float64 [B].

        Args:
            scores: of each tag at each place, [B, T, K].
            tags: [B, T], each below K; what stands past a row's length is not looked at.
            lengths: [B], 0 to T.
        """
        return self.path_score(scores, tags, lengths) - self.log_partition(scores, lengths)

    def path_score(self, scores: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Score of given paths, float64 [B]: before the division by the sum over all paths; rules are not asked."""
        inside = self._inside(scores, lengths)
        tags = tags.masked_fill(~inside, 0)
        own = scores.double().gather(2, tags.unsqueeze(2)).squeeze(2)
        total = own.masked_fill(~inside, 0).sum(dim=1)
        pairs = self.follow.double()[tags[:, :-1], tags[:, 1:]]
        total = total + pairs.masked_fill(~inside[:, 1:], 0).sum(dim=1)
        last = tags.gather(1, (lengths - 1).clamp(min=0).unsqueeze(1)).squeeze(1)
        edges = self.start.double()[tags[:, 0]] + self.end.double()[last]
        return total + edges.masked_fill(lengths == 0, 0)

    def log_partition(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """ln of the sum of exp(score) over all allowed paths, float64 [B]."""
        inside = self._inside(scores, lengths)
        scores = scores.double().masked_fill(~inside.unsqueeze(2), 0)
        start, follow, end = self._factors()
        forward = scores[:, 0] + start
        for step in range(1, scores.shape[1]):
            forward = torch.where(inside[:, step, None], _log_matmul(forward, follow) + scores[:, step], forward)
        total = _log_matmul(forward, end).squeeze(1)
        return total.masked_fill(lengths == 0, 0)

    def marginals(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """Probability of each tag at each place, float64 [B, T, K]; 0 past a row's length."""
        with torch.enable_grad():
            scores = scores.detach().double().requires_grad_()
            (probabilities,) = torch.autograd.grad(self.log_partition(scores, lengths).sum(), scores)
        return probabilities

    @torch.no_grad()
    def viterbi(self, scores: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The best allowed path: tags [B, T], -1 past a row's length, and its score, float64 [B]."""
        inside = self._inside(scores, lengths)
        scores = scores.double().masked_fill(~inside.unsqueeze(2), 0)
        follow = _forbid(self.follow.double(), self.may_follow)
        best = scores[:, 0] + _forbid(self.start.double(), self.may_start)
        stay = torch.arange(scores.shape[2], device=scores.device).expand(scores.shape[0], -1)
        came_from = []
        for step in range(1, scores.shape[1]):
            value, before = (best.unsqueeze(2) + follow).max(dim=1)
            here = inside[:, step, None]
            best = torch.where(here, value + scores[:, step], best)
            came_from.append(torch.where(here, before, stay))
        score, tag = (best + _forbid(self.end.double(), self.may_end)).max(dim=1)
        path = [tag]
        for before in reversed(came_from):
            path.append(before.gather(1, path[-1].unsqueeze(1)).squeeze(1))
        return torch.stack(path[::-1], dim=1).masked_fill(~inside, -1), score.masked_fill(lengths == 0, 0)

    def _factors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Logarithms of the start [K], weights of the pairs [K, K] and of the end [K, 1]; zero for what may not be."""
        start = torch.where(self.may_start, self.start.double(), float(np.log(TINY)))
        return (
            start,
            self.follow.double().exp() * self.may_follow,
            (self.end.double().exp() * self.may_end).unsqueeze(1),
        )

    @staticmethod
    def _inside(scores: Tensor, lengths: Tensor) -> Tensor:
        return torch.arange(scores.shape[1], device=scores.device) < lengths.unsqueeze(1)


def _log_matmul(logarithms: Tensor, weights: Tensor) -> Tensor:
    """ln(exp(logarithms [B, K]) @ weights [K, N]) without overflow: a matmul in place of B K N exponentials."""
    largest = logarithms.amax(dim=1, keepdim=True).detach()
    return ((logarithms - largest).exp() @ weights).clamp(min=TINY).log() + largest


def _forbid(values: Tensor, allowed: Tensor) -> Tensor:
    return values.masked_fill(~allowed, -torch.inf)
