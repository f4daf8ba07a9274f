"""Drawn examples are the same in every run, so that a change is judged by what it changes.

``make test-all`` sets ECHOIC_DRAW=random and draws new ones; an example that fails there is to be added as a test.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("repeatable", derandomize=True)
settings.register_profile("random", print_blob=True)
settings.load_profile(os.environ.get("ECHOIC_DRAW", "repeatable"))
