"""echoic: recurrent networks for real sequences.

Names are imported when they are used: ``import echoic`` alone loads no framework.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from echoic import nn as nn
    from echoic.layers.convert import convert as convert
    from echoic.tasks.estimator import Classifier as Classifier
    from echoic.tasks.estimator import Forecaster as Forecaster
    from echoic.tasks.estimator import Generator as Generator
    from echoic.tasks.estimator import Summarizer as Summarizer
    from echoic.tasks.estimator import Tagger as Tagger
    from echoic.tasks.estimator import Translator as Translator
    from echoic.tasks.estimator import load as load

__version__ = "0.1.0"

_HOME = {
    "Classifier": "echoic.tasks.estimator",
    "Forecaster": "echoic.tasks.estimator",
    "Generator": "echoic.tasks.estimator",
    "Summarizer": "echoic.tasks.estimator",
    "Tagger": "echoic.tasks.estimator",
    "Translator": "echoic.tasks.estimator",
    "load": "echoic.tasks.estimator",
    "convert": "echoic.layers.convert",
}

__all__ = [
    "Classifier",
    "Forecaster",
    "Generator",
    "Summarizer",
    "Tagger",
    "Translator",
    "__version__",
    "convert",
    "load",
    "nn",
]


def __getattr__(name: str) -> Any:
    if name == "nn":
        return import_module("echoic.nn")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'echoic' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
