"""echoic: recurrent networks for real sequences."""

__version__ = "0.1.0"
