"""Which backend runs a call: the one asked for, or the fastest that is right."""

from __future__ import annotations

from echoic import notices
from echoic.cells import Cell
from echoic.engine.call import Backend, Call
from echoic.engine.explanation import explain_native
from echoic.engine.native import BUILT, Native
from echoic.engine.precision import BFLOAT16, products
from echoic.engine.reference import Reference
from echoic.engine.scan import Scan
from echoic.engine.torch_fused import TorchFused, calculates_shorter
from echoic.errors import BackendError

# Fastest first.
BACKENDS: tuple[Backend, ...] = (Native(), TorchFused(), Scan(), Reference())
NAMES = ("auto", *(backend.name for backend in BACKENDS))

_said: set[str] = set()


def check_backend_name(name: str) -> None:
    """Raise BackendError unless a backend has that name."""
    if name not in NAMES:
        raise BackendError(f'backend: found "{name}", expected one of {", ".join(NAMES)}.')


def choose(name: str, cell: Cell, call: Call) -> Backend:
    """The backend for a call.

    Raises BackendError if a backend is asked for by name and cannot run the call, with the reason.
    """
    check_backend_name(name)
    if name == "auto":
        backend, refusals = fastest(cell, call)
        if isinstance(backend, Reference) and call.inputs.shape[0] > 1:
            _say_once(cell, backend, refusals)
        return backend
    backend = next(b for b in BACKENDS if b.name == name)
    reason = backend.refusal(cell, call)
    if reason is not None:
        raise BackendError(f"backend {name!r} cannot run this: {reason.rstrip('.')}. Choose another, or auto.")
    return backend


def native_first(name: str) -> bool:
    """Whether that name means the native engine wherever it can run, autocast apart."""
    return BUILT and (name == Native.name or (name == "auto" and isinstance(BACKENDS[0], Native)))


def fastest(cell: Cell, call: Call) -> tuple[Backend, list[str]]:
    """The first backend that can run the call, and why each before it cannot."""
    refusals = []
    # A kernel in the type that autocast asks for goes before ours, where ours calculates in float32
    shorter = calculates_shorter(cell, call) and not (BUILT and products(call.inputs) == BFLOAT16)
    for backend in sorted(BACKENDS, key=lambda each: not isinstance(each, TorchFused)) if shorter else BACKENDS:
        reason = backend.refusal(cell, call)
        if reason is None:
            return backend, refusals
        refusals.append(reason)
    raise AssertionError("the reference backend refuses nothing")


def explain(name: str, cell: Cell, call: Call) -> str:
    """One line: which backend runs the call, and why not a faster one."""
    if name != "auto":
        backend, why = choose(name, cell, call), ", as asked"
    else:
        backend, refusals = fastest(cell, call)
        why = f" ({'; '.join(refusals)})" if refusals else ""
    details = explain_native(cell, call.inputs) if isinstance(backend, Native) else ""
    return backend.name + why + (f": {details}" if details else "")


def describe_backends() -> dict[str, str]:
    """Each backend with what it is."""
    return {backend.name: (type(backend).__doc__ or "").strip() for backend in BACKENDS}


def _say_once(cell: Cell, backend: Backend, refusals: list[str]) -> None:
    if any("observed" in reason for reason in refusals):
        return  # whoever observes asked for it
    text = f"{type(cell).__name__} runs step by step on backend {backend.name!r}, which is slow: {'; '.join(refusals)}."
    if text not in _said:
        _said.add(text)
        notices.notice(text)
