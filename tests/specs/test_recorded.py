"""The parts of a spec that users rely on (digest, canonical names, initial weights) are as in `recorded.json`.

After an intended change, run `python tests/specs/test_recorded.py NAME...` to record the spec again, and add a line to
the CHANGELOG.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import archspec
from tests.compiler.models import NAMES, spec_of

RECORDED = Path(__file__).with_name("recorded.json")


def record(name: str) -> dict[str, Any]:
    """The digest of a spec and, for each canonical weight at seed 0, its shape, first number and sum."""
    model = archspec.compile(spec_of(name), seed=0)
    weights = {
        weight: [list(view.shape), float(view.flatten()[0]), float(view.double().sum())]
        for weight, view in model.named_weights()
    }
    return {"digest": spec_of(name).digest, "weights": weights}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_as_recorded(name: str) -> None:
    """Digest, names and shapes are equal; initial weights agree up to float32 rounding on another processor."""
    expected = json.loads(RECORDED.read_text(encoding="utf-8"))[name]
    found = record(name)
    assert found["digest"] == expected["digest"]
    assert {weight: found["weights"][weight][0] for weight in found["weights"]} == {
        weight: expected["weights"][weight][0] for weight in expected["weights"]
    }
    for weight, (_, first, total) in expected["weights"].items():
        torch.testing.assert_close(found["weights"][weight][1:], [first, total], rtol=1e-5, atol=1e-4, msg=weight)


if __name__ == "__main__":
    kept = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}
    kept |= {name: record(name) for name in sys.argv[1:] or NAMES}
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(kept[name])}" for name in sorted(kept))
    RECORDED.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
