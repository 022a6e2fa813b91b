"""Hypothesis profiles: `ci` draws the same examples on every run, `dev` draws new ones."""

from __future__ import annotations

import os

from hypothesis import settings

# No deadline: the first example of a test pays for imports and for building a model.
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("dev", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
