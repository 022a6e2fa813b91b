"""How large a spec may be. Each limit lies far above what a network needs; with them, every answer comes soon.

The language page (docs/language.md, section Limits) lists them; a test compares.
"""

from __future__ import annotations

MOST_VALUES = 100_000
"""Values of a spec: in its text, after aliases, variables and repeats."""

MOST_GIVEN = 1_000_000
"""Values that `defaults` may give to blocks."""

MOST_CHARACTERS = 1 << 24
"""Characters of a spec, after aliases and variables."""

DEEPEST = 64
"""Lists and mappings inside each other, and steps of the path of an override."""

LONGEST_NAME = 200
"""Characters of a name."""

MOST_EXTENDED = 64
"""Files that extend each other in a row."""

MOST_REPEATS = 1000
"""What `repeat` may say."""

MOST_TASKS = 5000
MOST_LOSSES = 100
"""Losses of one task."""

MOST_DOMAINS = 10_000
"""Values of one domain input."""

MOST_CELLS = 1_000_000
"""Numbers of a table that a domain gate or `exclude` looks up: values of the domain times experts seen."""

MOST_EXPERTS = 20_000
"""Experts of a spec."""

MOST_LAYERS = 1000
"""Sizes in one `units`."""

MOST_ALL_LAYERS = 50_000
"""Layers of all blocks together, every expert with its own."""

MOST_EDGES = 250_000
"""What all nodes read, together."""

LARGEST = 10**12
"""A whole number in a setting."""

LONGEST_ROW = 1_000_000
"""Ids in one row of a sequence."""

MOST_BYTES = 10**12
"""Bytes of all weights of a model, as float32."""

MANY_BYTES = 64 * 10**9
"""Bytes of all weights from which on a warning says how many they are."""
