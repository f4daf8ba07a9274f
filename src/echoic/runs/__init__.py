"""Run directories: what a training leaves behind. Standard library, NumPy and safetensors only."""

from echoic.runs.directory import RunDirectory
from echoic.runs.fingerprint import fingerprint, versions

__all__ = ["RunDirectory", "fingerprint", "versions"]
