"""What was done on the user's behalf is said once: dropped rows, filled gaps, guessed columns, slow paths.

A notice is a warning of the logger ``echoic``: the command line shows it on standard error, a notebook shows it by
Python's own defaults, and ``collected()`` gathers notices for a report.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

logger = logging.getLogger("echoic")


def notice(text: str) -> None:
    """Say once, to the user, what was done and why."""
    logger.warning(text)


class _Collector(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text not in self.texts:
            self.texts.append(text)


@contextlib.contextmanager
def collected() -> Iterator[list[str]]:
    """Gather the notices given inside the block, each text once, besides showing them."""
    collector = _Collector()
    logger.addHandler(collector)
    try:
        yield collector.texts
    finally:
        logger.removeHandler(collector)
