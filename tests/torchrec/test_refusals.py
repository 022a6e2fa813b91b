"""What TorchRec cannot hold is refused by name; TorchRec itself is not needed for that."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from archspec import SpecError, torchrec

SPEC = """
archspec: 1
name: refused
inputs:
  item: {{kind: sparse, vocab: 9, dim: 4{item}}}
  clicks: {{kind: sequence, table: item, length: 5{clicks}}}
  x: {{kind: dense, dim: 2}}
tasks: {{click: {{}}}}
towers: {{click: {{units: [8]}}}}
"""
NO_TABLE = """
archspec: 1
name: numbers
inputs:
  x: {kind: dense, dim: 2}
tasks: {click: {}}
towers: {click: {units: [8]}}
"""


def refusal(text: str) -> SpecError:
    """The error of `wrap`."""
    with pytest.raises(SpecError) as caught:
        torchrec.wrap(text)
    return caught.value


def test_a_pool_that_is_not_a_sum_is_refused_at_its_place() -> None:
    """AS820 names the input and the pool, and points at the setting."""
    (found,) = refusal(SPEC.format(item="", clicks=", pool: max")).diagnostics
    assert (found.code, found.span is not None and found.span.line) == ("AS820", 6)
    assert "`clicks`" in found.message
    assert "`pool: max`" in found.message


def test_all_refusals_come_at_once() -> None:
    """A frozen table (AS821) and a wrong pool (AS820) are reported together."""
    error = refusal(SPEC.format(item=", trainable: false", clicks=", pool: max"))
    assert sorted(found.code for found in error.diagnostics) == ["AS820", "AS821"]


def test_l2_of_an_input_is_refused() -> None:
    """AS828 points at `l2`, which TorchRec's half of the model would ignore."""
    (found,) = refusal(SPEC.format(item=", l2: 0.1", clicks="")).diagnostics
    assert (found.code, found.span is not None and found.span.line) == ("AS828", 5)


def test_a_spec_without_tables_is_refused() -> None:
    """AS823: there is nothing that TorchRec would hold."""
    assert [found.code for found in refusal(NO_TABLE).diagnostics] == ["AS823"]


@pytest.mark.skipif(find_spec("torchrec") is not None, reason="TorchRec is installed")
def test_a_missing_torchrec_is_named() -> None:
    """Without TorchRec, AS709 names it and the page that says how to install it."""
    error = refusal(SPEC.format(item="", clicks=""))
    assert (error.status, [found.code for found in error.diagnostics]) == (2, ["AS709"])
    assert "docs/scaling.md" in str(error)
