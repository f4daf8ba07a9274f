"""How far a training is, and when it must end."""

from __future__ import annotations

import time

RESERVED_VALIDATIONS = 3.0  # time kept back, in validations: the last one, and scoring on validation and test
SLACK = 1.0  # seconds kept back for writing the run


class Budget:
    """Progress by steps, and by time where time is limited.

    Args:
        total_steps: updates in all epochs.
        max_minutes: limit of the whole training, or None.
        spent: seconds gone before this process (a resumed run) or before the first step (reading data).
    """

    def __init__(self, total_steps: int, max_minutes: float | None, spent: float = 0.0) -> None:
        self.total_steps = max(1, total_steps)
        self.limit = None if max_minutes is None else 60 * max_minutes
        self._started = time.monotonic() - spent
        self._validation = 0.0  # seconds of the longest validation so far
        self._last_validation = self.elapsed

    @property
    def elapsed(self) -> float:
        """Seconds since the training began, over all its processes."""
        return time.monotonic() - self._started

    @property
    def usable(self) -> float | None:
        """Seconds after which updates must end, so that what follows fits into the limit."""
        if self.limit is None:
            return None
        return max(0.5 * self.limit, self.limit - RESERVED_VALIDATIONS * self._validation - SLACK)

    def progress(self, step: int) -> float:
        """0 at the start, 1 at the end: by steps or by time, whichever is further."""
        usable = self.usable
        by_time = 0.0 if usable is None else self.elapsed / usable
        return min(1.0, max(step / self.total_steps, by_time))

    @property
    def exhausted(self) -> bool:
        """Whether the time is up."""
        usable = self.usable
        return usable is not None and self.elapsed >= usable

    def validation_due(self) -> bool:
        """Within an epoch: whether a timed training should validate now (each tenth of the time, if that is cheap)."""
        if self.limit is None:
            return False
        since = self.elapsed - self._last_validation
        return since > max(self.limit / 10, 12 * self._validation)

    def may_validate(self) -> bool:
        """At the end of an epoch of a timed training: whether the time since the last validation pays for another."""
        return self.limit is None or self.elapsed - self._last_validation > max(self.limit / 40, 6 * self._validation)

    def validated(self, seconds: float) -> None:
        """Note what a validation took."""
        self._validation = max(self._validation, seconds)
        self._last_validation = self.elapsed
