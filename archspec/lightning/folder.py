"""What lies in the folder of a run. `rows/`, with the encoded rows, may be deleted when the run is over."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from archspec.diagnostics import unusable

if TYPE_CHECKING:
    from pathlib import Path

SPEC, RUN, RESULTS = "spec.yaml", "run.json", "results.json"
"""The canonical spec; what was asked for; what came of it."""
LAST, WEIGHTS, HISTORY = "last.ckpt", "weights.safetensors", "history.json"
"""The checkpoint to go on from; the weights of the best epoch; all that was measured."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a run. Raises SpecError where it is missing or none."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        unusable("AS708", f"`{path}` cannot be read: {error}")
    return found
