"""Swap ``torch.nn``'s recurrent layers for echoic's in a model that already exists."""

from __future__ import annotations

from typing import Any

from torch import nn

from echoic.layers.dropin import GRU, LSTM, RNN, DropIn
from echoic.notices import notice

# What makes a module what it is besides its options: shared with the original, so that optimisers and hooks stay valid.
SHARED = (
    "_parameters",
    "_buffers",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
    "training",
)


def convert(model: nn.Module) -> nn.Module:
    """Replace, in place, every ``nn.RNN``, ``nn.LSTM`` and ``nn.GRU`` inside ``model`` by echoic's of the same name.

    The new layers hold the *same* parameter objects and hooks, so an optimiser made before stays valid, tied weights
    stay tied, a layer that occurs in several places is replaced by one, and ``state_dict()`` has the same keys.
    Subclasses (parametrised or with a ``forward`` of their own) are left as they are, with a notice.

    Returns:
        ``model``; where it is itself such a layer, its replacement.
    """
    if type(model) in REPLACEMENTS:
        return _replacement(model)
    if isinstance(model, nn.RNNBase):
        _say_left(model, "the model")
    replaced: dict[int, DropIn] = {}
    for path, parent in model.named_modules():
        for name, child in parent._modules.items():
            if child is None:
                continue
            if type(child) in REPLACEMENTS:
                if id(child) not in replaced:
                    replaced[id(child)] = _replacement(child)
                parent._modules[name] = replaced[id(child)]
            elif isinstance(child, nn.RNNBase):
                _say_left(child, f"{path}.{name}".lstrip("."))
    return model


def _say_left(layer: nn.Module, place: str) -> None:
    notice(f"convert: {place} is a {type(layer).__name__}, not a plain torch.nn layer; it was left as it is.")


def _options(layer: Any) -> dict[str, Any]:
    return {
        "num_layers": layer.num_layers,
        "bias": layer.bias,
        "batch_first": layer.batch_first,
        "dropout": layer.dropout if layer.num_layers > 1 else 0.0,
        "bidirectional": layer.bidirectional,
        "device": "meta",  # its parameters are replaced at once
    }


REPLACEMENTS = {
    nn.RNN: lambda layer: RNN(layer.input_size, layer.hidden_size, nonlinearity=layer.nonlinearity, **_options(layer)),
    nn.LSTM: lambda layer: LSTM(layer.input_size, layer.hidden_size, proj_size=layer.proj_size, **_options(layer)),
    nn.GRU: lambda layer: GRU(layer.input_size, layer.hidden_size, **_options(layer)),
}


def _replacement(layer: nn.Module) -> DropIn:
    ours = REPLACEMENTS[type(layer)](layer)
    for name in SHARED:
        ours.__dict__[name] = layer.__dict__[name]
    ours.dropout = layer.dropout
    return ours
