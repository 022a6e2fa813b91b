"""What TorchRec cannot hold is refused by name; TorchRec itself is not needed for that."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from archspec import Column, InputKind, SpecError, input, torchrec
from archspec.contract import TableName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from archspec import Scope, Value

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


@input("odd_ids")
class OddIds(InputKind):
    """Rows of another input's table, looked up in its own way."""

    table: TableName

    def width(self, inputs: Mapping[str, InputKind]) -> int:
        """That of the table."""
        return inputs[self.table].width(inputs)

    def column(self, inputs: Mapping[str, InputKind]) -> Column:
        """Ids `[B]`."""
        return inputs[self.table].column(inputs)

    def shared_table(self) -> str:
        """The other input."""
        return self.table

    def lower(self, at: Scope, column: Value, inputs: Mapping[str, InputKind]) -> Value:
        """`[B] -> [B, dim]`."""
        raise NotImplementedError


def test_a_kind_of_a_plugin_that_reads_a_table_is_refused() -> None:
    """AS822 names the input and its kind, at its place: its code could not read a table that TorchRec holds."""
    text = SPEC.format(item="", clicks="").replace("  x:", "  odd: {kind: odd_ids, table: item}\n  x:")
    with pytest.raises(SpecError) as caught:
        torchrec.wrap(text, [OddIds])
    (found,) = caught.value.diagnostics
    assert (found.code, found.span is not None and found.span.line) == ("AS822", 7)
    assert "`odd` is of kind `odd_ids`" in found.message


def test_all_refusals_come_at_once() -> None:
    """Two inputs with `l2` are reported together."""
    error = refusal(SPEC.format(item=", l2: 0.1", clicks=", l2: 0.1"))
    assert [found.code for found in error.diagnostics] == ["AS828", "AS828"]


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
