"""How large a spec may be. Each limit is far above what a network needs, and low enough that every command is fast.

The language page (docs/language.md, section Limits) lists them; a test compares the two.
"""

from __future__ import annotations

MOST_VALUES = 100_000
"""Values in a spec, with aliases, variables and repeats expanded."""

MOST_GIVEN = 1_000_000
"""Values that `defaults` may add to blocks."""

MOST_CHARACTERS = 1 << 24
"""Characters in a spec, with aliases and variables expanded."""

DEEPEST = 64
"""Nested lists and mappings, and steps in the path of an override."""

LONGEST_NAME = 200
"""Characters in a name."""

MOST_EXTENDED = 64
"""Files in a chain of `extends`."""

MOST_REPEATS = 1000
"""The largest `repeat`."""

MOST_TASKS = 5000
MOST_LOSSES = 100
"""Losses of one task."""

MOST_DOMAINS = 10_000
"""Values of one domain input."""

MOST_CELLS = 1_000_000
"""Numbers in the table of a domain gate, `exclude` or `only`: values of the domain times experts seen."""

MOST_EXPERTS = 10_000
"""Experts of a spec."""

MOST_LAYERS = 1000
"""Sizes in one `units`."""

MOST_ALL_LAYERS = 50_000
"""Layers of all blocks together, each expert's counted."""

MOST_EDGES = 250_000
"""Edges of the graph: everything that nodes read."""

LARGEST = 10**12
"""The largest whole number in a setting."""

LONGEST_ROW = 1_000_000
"""Ids in one row of a sequence."""

MOST_BYTES = 10**12
"""Bytes of all weights of a model, as float32."""

MANY_BYTES = 64 * 10**9
"""Bytes of all weights above which a warning is reported."""
