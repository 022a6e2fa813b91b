"""From text to Spec: read, extend, override, expand, type, complete."""

from __future__ import annotations

import os
from collections.abc import Iterable
from collections.abc import Mapping as MappingType
from typing import TYPE_CHECKING

from archspec.diagnostics import unusable
from archspec.spec.complete import completed
from archspec.spec.expand import expand
from archspec.spec.extend import extended, overridden
from archspec.spec.like import with_shared_weights
from archspec.spec.sections import Reader, known_sections
from archspec.spec.source import parse, read

if TYPE_CHECKING:
    from archspec.contract import Registry
    from archspec.diagnostics import Diagnostics
    from archspec.spec.spec import Spec

Overrides = MappingType[str, object] | Iterable[str]


def read_spec(
    source: str | os.PathLike[str], registry: Registry, diagnostics: Diagnostics, overrides: Overrides = ()
) -> Spec:
    """The complete Spec of a file (`-` for standard input) or of a text; its references are not checked yet.

    Raises:
        SpecError: the file cannot be read, or is not YAML.
    """
    text, file = _text_of(source)
    tree = extended(parse(text, file, diagnostics), file, diagnostics)
    tree = expand(known_sections(overridden(tree, overrides), diagnostics), diagnostics)
    spec = with_shared_weights(Reader(tree, registry, diagnostics).spec(), diagnostics)
    return completed(spec, diagnostics)


def _text_of(source: str | os.PathLike[str]) -> tuple[str, str]:
    """The text of a source: a source with a line break or a `key: value` is a text, anything else a path.

    Raises:
        TypeError: the source is neither a text nor a path.
    """
    if not isinstance(source, str | os.PathLike):
        raise TypeError(f"a spec must be the path of a file or its text, not an object of type {type(source).__name__}")
    if isinstance(source, str) and not source.strip():
        unusable("AS001", "the name of the spec is empty", help="name a file, or `-` for standard input")
    if isinstance(source, str) and ("\n" in source or ": " in source):
        return source, "<text>"
    return read(source), "<stdin>" if os.fspath(source) == "-" else os.fspath(source)


__all__ = ["Overrides", "read_spec"]
