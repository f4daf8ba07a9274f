"""Decoders: a recurrent stack over what was written, with attention to the source.

``ParallelDecoder`` asks its first layer where to look, so that no step waits for another's attention and all of them
run as a few fused calls. ``FeedingDecoder`` feeds back what was attended to, step by step.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from echoic.cells import Cell
from echoic.errors import OptionError
from echoic.layers.attention import Attention, Past, Sources, build_attention
from echoic.layers.quick_dropout import QuickDropout
from echoic.models.pair_settings import PairSettings
from echoic.models.recurrent import build_recurrent


class Decoded(NamedTuple):
    """What a decoder found at each step.

    features: for the softmax, [B, T, A].
    weights: of the attention, [B, T, S].
    """

    features: Tensor
    weights: Tensor


class DecoderState(NamedTuple):
    """Between two steps; every tensor has its rows on dimension 0.

    layers: of each recurrent layer.
    fed: what is fed back, [B, A]; [B, 0] where nothing is.
    past: of the attention.
    """

    layers: tuple[Any, ...]
    fed: Tensor
    past: Past


class Readout(nn.Module):
    """tanh(W [hidden; context]), the attentional vector of Luong et al. (2015).

    Args:
        hidden_size, context_size: features of what comes in.
        output_size: A.
    """

    def __init__(self, hidden_size: int, context_size: int, output_size: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(hidden_size, output_size)
        self.context = nn.Linear(context_size, output_size, bias=False)

    def forward(self, hidden: Tensor, context: Tensor) -> Tensor:
        return torch.tanh(self.hidden(hidden) + self.context(context))


class ParallelDecoder(nn.Module):
    """The first layer's output asks the attention; what it reads goes into the layers above and into the readout.

    A step's attention does not depend on the attention of the step before (unless coverage or location-aware attention
    is asked for), which is what lets all steps be computed at once. The layers above remember what was read.

    Args:
        input_size: features of an embedded symbol, E.
        value_size: features of the source, M.
        settings: sizes, cell, attention and dropout.
    """

    def __init__(self, input_size: int, value_size: int, settings: PairSettings) -> None:
        super().__init__()
        one_way = settings.model_copy(update={"bidirectional": False})
        self.first = build_recurrent(one_way.model_copy(update={"layers": 1}), input_size)
        asked = self.first.output_size
        self.attention = attention_of(settings, asked, value_size)
        self.dropout = QuickDropout(settings.dropout)
        self.above = None
        if settings.layers > 1:
            upper = one_way.model_copy(update={"layers": settings.layers - 1})
            self.above = build_recurrent(upper, asked + value_size)
        self.readout = Readout(asked if self.above is None else self.above.output_size, value_size, input_size)

    def cells(self) -> list[Cell]:
        """From the bottom up."""
        above = [] if self.above is None else list(self.above.cells)
        return [*self.first.cells, *above]  # pyright: ignore[reportReturnType]

    def nothing_fed(self, rows: int) -> Tensor:
        """[B, 0]."""
        return self.readout.hidden.weight.new_zeros(rows, 0)

    def forward(self, embedded: Tensor, sources: Sources, state: DecoderState) -> tuple[Decoded, DecoderState]:
        """Steps that follow the state, embedded [B, T, E]."""
        hidden, first = self.first(embedded, state.layers[:1])
        context, weights, past = self.attention(hidden, sources, state.past)
        above: tuple[Any, ...] = ()
        if self.above is not None:
            entering = self.dropout(torch.cat([hidden, context], dim=2))
            hidden, above = self.above(entering, state.layers[1:])
        features = self.dropout(self.readout(hidden, context))
        return Decoded(features, weights), DecoderState((*first, *above), state.fed, past)


class FeedingDecoder(nn.Module):
    """The attentional vector of a step goes into the next one (input feeding, Luong et al., 2015), in a loop.

    What does not depend on the state is computed before the loop: the input's part of the first layer's sums, and
    the dropout masks.

    Args: as ``ParallelDecoder``.

    Raises:
        OptionError: residual connections or layer normalisation between layers, which this loop does not have.
    """

    def __init__(self, input_size: int, value_size: int, settings: PairSettings) -> None:
        super().__init__()
        if settings.residual or settings.layer_norm:
            raise OptionError(
                "input_feeding: found residual or layer_norm, which it cannot be combined with. Leave one of them out."
            )
        self.input_size = input_size
        self.stack = build_recurrent(settings.model_copy(update={"bidirectional": False}), 2 * input_size)
        self.attention = attention_of(settings, self.stack.output_size, value_size)
        self.dropout = QuickDropout(settings.dropout)
        self.readout = Readout(self.stack.output_size, value_size, input_size)

    def cells(self) -> list[Cell]:
        """From the bottom up."""
        return list(self.stack.cells)  # pyright: ignore[reportReturnType]

    def nothing_fed(self, rows: int) -> Tensor:
        """Zeros [B, E]."""
        return self.readout.hidden.weight.new_zeros(rows, self.input_size)

    def forward(self, embedded: Tensor, sources: Sources, state: DecoderState) -> tuple[Decoded, DecoderState]:
        """Steps that follow the state, embedded [B, T, E]."""
        first, *above = self.cells()
        separable = type(first).project is Cell.project
        inputs = functional.pad(embedded, (0, self.input_size))
        projected = (first.project(inputs) if separable else inputs).unbind(1)
        masks = self._masks(embedded, 1 + len(above))
        layers, fed, past = list(state.layers), state.fed, state.past
        features, weights = [], []
        with nn.utils.parametrize.cached():  # a random parametrisation (weight drop) is drawn once a sequence
            feed = first.weight_ih[:, self.input_size :] if separable else None
            for step, entering in enumerate(projected):
                if feed is None:
                    entering = first.project(torch.cat([entering[:, : self.input_size], fed], dim=1))
                else:
                    entering = entering + functional.linear(fed, feed)
                hidden, layers[0] = first.update(entering, layers[0])
                for depth, cell in enumerate(above, start=1):
                    hidden, layers[depth] = cell.step(_dropped(hidden, masks, step, depth - 1), layers[depth])
                context, looked, past = self.attention(hidden.unsqueeze(1), sources, past)
                fed = _dropped(self.readout(hidden, context.squeeze(1)), masks, step, -1)
                features.append(fed)
                weights.append(looked)
        decoded = Decoded(torch.stack(features, dim=1), torch.cat(weights, dim=1))
        return decoded, DecoderState(tuple(layers), fed, past)

    def _masks(self, embedded: Tensor, count: int) -> list[tuple[Tensor, ...]] | None:
        """Dropout masks of all steps, for what leaves each layer and for the readout; None in evaluation."""
        if not self.training or not self.dropout.p:
            return None
        rows, steps = embedded.shape[:2]
        sizes = [cell.output_size for cell in self.cells()[: count - 1]] + [self.input_size]
        return [self.dropout(embedded.new_ones(steps, rows, size)).unbind(0) for size in sizes]


def _dropped(values: Tensor, masks: list[tuple[Tensor, ...]] | None, step: int, place: int) -> Tensor:
    return values if masks is None else values * masks[place][step]


DECODERS: dict[bool, type[ParallelDecoder] | type[FeedingDecoder]] = {False: ParallelDecoder, True: FeedingDecoder}


def attention_of(settings: PairSettings, query_size: int, value_size: int) -> Attention:
    """The attention that the settings ask for."""
    options = {"heads": settings.heads} if settings.attention == "multi-head" else {}
    return build_attention(settings.attention, query_size, value_size, settings.coverage, **options)
