"""Those who compete in the benchmarks of recurrent layers: ours and the peers, each in a process of its own.

A contender is a class with three methods, which a worker process calls: ``prepare(problem)`` builds what it needs and
warms it up, ``results()`` gives what it computes as NumPy arrays under common names and layouts, so that contenders
can be compared, and ``run()`` does the work that is timed. No module here but a contender's own imports its library.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Contender:
    """Where a contender's class is, and what it is made with.

    tolerance: how far its numbers may lie from those of others, as a share of the largest one.
    """

    name: str
    module: str
    kind: str
    trains: bool = True
    options: dict[str, Any] = field(default_factory=dict)
    tolerance: float = 1e-4  # float32 sums over thousands of steps, in another order

    def build(self, threads: int) -> Any:
        """The contender itself, its library imported and its threads limited. Called in the worker only."""
        return getattr(import_module(f"peers.{self.module}"), self.kind)(threads, **self.options)


LAYERS = (
    Contender("torch.nn", "torch_nn", "TorchLayer"),
    Contender("jax", "jax_scan", "JaxScan"),
    Contender("onnxruntime", "onnx_runtime", "OnnxLayer", trains=False),
)
STEPPERS = (
    Contender("torch.nn", "torch_nn", "TorchStep"),
    Contender("onnxruntime", "onnx_runtime", "OnnxStep"),
)


def our_layer(backend: str) -> Contender:
    """Our layer on one of its backends."""
    return Contender("echoic", "echoic_layer", "EchoicLayer", options={"backend": backend})


def our_steppers(backend: str) -> list[Contender]:
    """Our streamed step: the native stepper, also with weights of eight bits, or the layer on another backend."""
    if backend not in ("native", "auto"):
        return [Contender("echoic", "echoic_layer", "EchoicLayerStep", options={"backend": backend})]
    int8 = {"weights": "int8"}
    return [
        Contender("echoic", "echoic_layer", "EchoicStep"),
        Contender("echoic int8", "echoic_layer", "EchoicStep", options=int8, tolerance=0.05),
    ]


PEAK = Contender("multiply-add peak", "product", "Product")
