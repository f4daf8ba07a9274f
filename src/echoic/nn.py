"""Drop-ins for ``torch.nn``'s recurrent layers: ``echoic.nn.LSTM`` instead of ``torch.nn.LSTM``.

``echoic.convert(model)`` swaps them in a model that already exists.
"""

from echoic.layers.dropin import GRU, LSTM, RNN

__all__ = ["GRU", "LSTM", "RNN"]
