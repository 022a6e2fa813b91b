"""Whole models whose matmuls all go to oneDNN, as those of large batches do: they equal the plain module."""

from __future__ import annotations

import pytest
import torch

from archspec.nn import products
from tests.compiler.models import batch_of, model_of, run, spec_of

SETTINGS = {"ONEDNN": True, "ONEDNN_FROM": 0, "ONEDNN_STACK_ROWS": 0, "NARROW_FROM": 0}
"""Every matmul is large."""


@pytest.mark.skipif(not products.HAS_ONEDNN, reason="this torch has no oneDNN product")
@pytest.mark.parametrize("rows", [0, 1, 33])
@pytest.mark.parametrize("name", ["mmoe", "pepnet", "ple", "poso", "smes", "snr_trans", "stem"])
def test_a_model_with_all_matmuls_in_onednn_is_the_plain_one(
    name: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs, gradients of weights and gradients of numbers agree in float32 to 1e-5."""
    model = model_of(spec_of(name), optimize=True, dtype=torch.float32)
    plain = model_of(spec_of(name), optimize=False, dtype=torch.float32)
    own = type(model).forward.__globals__
    assert "OneDnnLinearStack" in own
    for setting, value in SETTINGS.items():
        monkeypatch.setitem(own, setting, value)
    batch = batch_of(spec_of(name), rows, dtype=torch.float32)
    found = []
    for each in (model, plain):
        torch.manual_seed(0)  # snr samples its gates
        found.append(run(each, batch))
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)
