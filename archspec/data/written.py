"""Encodings in a file next to the spec: how the columns of the data are read, checked like a spec."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field

from archspec.contract import Settings
from archspec.data.choices import EVERY, Requests, known
from archspec.diagnostics import Diagnostics
from archspec.spec.problems import validated
from archspec.spec.source import read_settings
from archspec.spec.tree import Mapping as Tree
from archspec.spec.tree import text_of

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from archspec.data.requirements import ColumnRequirement
    from archspec.diagnostics import Span
    from archspec.spec.tree import Entry

SEPARATORS: Final = {"tab": "\t", r"\t": "\t", "blank": " "}
"""Names of separators that are hard to write."""
Word = str | int | float
"""A text; a number is read as its text."""


class ColumnSettings(Settings):
    """The entry of a file for one column."""

    encode: str | None = None
    """The encoding, as in `--encode`."""
    column: str | None = None
    """The column of the data that it is read from."""
    missing: Word | tuple[Word, ...] | None = None
    """Texts that mean a missing value."""
    padding: Word | None = None
    """The padding item of lists."""
    separator: str | None = None
    """The separator of the items of lists."""
    min_count: Annotated[int, Field(ge=1)] | None = None
    """Values in fewer rows are unknown."""


_FIELDS: Final = {
    "encode": "choices", "column": "columns", "missing": "missing", "padding": "padding", "separator": "separators",
    "min_count": "min_counts",
}  # fmt: skip
"""Key in the file -> field of `Requests`."""


@dataclass
class _File:
    """The content of a file."""

    requests: dict[str, dict[str, Any]] = field(default_factory=lambda: {name: {} for name in _FIELDS.values()})
    spans: dict[tuple[str, str], Span] = field(default_factory=dict)

    def add(self, entry: Entry, diagnostics: Diagnostics) -> None:
        """Reads the entry of one column."""
        column, node = entry.key, entry.node
        kind = text_of(node)
        if kind is not None:
            self.requests["choices"][column] = kind
            self.spans["choices", column] = node.span
            return
        if not isinstance(node, Tree):
            diagnostics.error(
                "AS109", f"column `{column}` must be an encoding or a mapping", node.span, notes=node.provenance,
                help=f"write `{column}: vocabulary`, or `{column}: {{encode: vocabulary, min_count: 5}}`",
            )  # fmt: skip
            return
        found = validated(ColumnSettings, node, f"column `{column}`", entry.key_span, diagnostics)
        for key, name in _FIELDS.items():
            value = getattr(found, key, None)
            written = node.entry(key)
            if value is not None and written is not None:
                self.requests[name][column] = _as_requested(key, value)
                self.spans[name, column] = written.node.span


def _as_requested(key: str, value: Any) -> Any:  # noqa: ANN401 - of any setting
    """A setting's value in the form of the option."""
    if key == "separator":
        return SEPARATORS.get(value, value)
    if key == "missing":
        return tuple(map(_text, value if isinstance(value, tuple) else (value,)))
    return _text(value) if key == "padding" else value


def _text(value: Word) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def written_requests(path: str | os.PathLike[str], requirements: Mapping[str, ColumnRequirement]) -> Requests:
    """The encodings in a file: a mapping from columns of the spec to their entries.

    Args:
        path: the file, in YAML; `-` is standard input.
        requirements: the columns that the spec reads.

    Raises:
        SpecError: the file does not exist, is not valid YAML, or contains something unknown or impossible: with
            line, caret and suggestion.
    """
    diagnostics, found = Diagnostics(), _File()
    for entry in read_settings(path).entries:
        if entry.key == EVERY or known(entry.key, requirements, diagnostics, entry.key_span):
            found.add(entry, diagnostics)
    requests = Requests(**found.requests)
    requests.check(requirements, diagnostics, found.spans)
    diagnostics.raise_errors()
    return requests
