"""A cell over time: the reference loop, faster backends, and the choice among them."""

from echoic.engine.call import Backend, Call
from echoic.engine.choice import BACKENDS, describe_backends
from echoic.engine.record import RecordedRun, record_states
from echoic.engine.unroll import unroll

__all__ = ["BACKENDS", "Backend", "Call", "RecordedRun", "describe_backends", "record_states", "unroll"]
