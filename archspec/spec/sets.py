"""`sets`: the named lists that variables range over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.spec.names import check_name
from archspec.spec.tree import Mapping, Node, Scalar, Sequence, is_empty

if TYPE_CHECKING:
    from archspec.diagnostics import Diagnostics

Sets = dict[str, tuple[str, ...]]
"""Variable -> its values."""


def read_sets(tree: Mapping, diagnostics: Diagnostics) -> Sets:
    """The named lists of `sets`; reports lists that do not contain different names."""
    section = tree.get("sets")
    if section is not None and not isinstance(section, Mapping) and not is_empty(section):
        diagnostics.error(
            "AS134", "`sets` must be a mapping from names to lists", section.span, notes=section.provenance,
            help="write `sets: {group: [watch, interact]}`",
        )  # fmt: skip
    found: Sets = {}
    for entry in section.entries if isinstance(section, Mapping) else ():
        name = entry.key
        span, provenance = entry.key_span, entry.node.provenance
        found[name] = names_of(entry.node)
        if name in {"task", "domain"}:
            diagnostics.error("AS134", f"`${name}` is built in: a set cannot be named `{name}`", span, notes=provenance,
                              help="give the set another name")  # fmt: skip
        else:
            check_name(name, "set name", span, provenance, diagnostics)
        if not found[name]:
            diagnostics.error("AS134", f"set `{name}` must be a list of names", entry.node.span, notes=provenance,
                              help=f"write `{name}: [one, another]`")  # fmt: skip
            diagnostics.incomplete = True
        _check_values(name, entry.node, diagnostics)
    return found


def _check_values(name: str, node: Node, diagnostics: Diagnostics) -> None:
    seen: dict[str, Scalar] = {}
    for item in node.items if isinstance(node, Sequence) else ():
        if not isinstance(item, Scalar) or not isinstance(item.value, str):
            diagnostics.error(
                "AS134", f"set `{name}` may contain only names", item.span, notes=item.provenance, help="write a name"
            )
        elif item.value in seen:
            diagnostics.error(
                "AS134",
                f"set `{name}` lists `{item.value}` twice",
                item.span,
                notes=item.provenance,
                help="remove one of them",
            )
        else:
            seen[item.value] = item
            check_name(item.value, "set value", item.span, item.provenance, diagnostics)


def names_of(node: Node | None) -> tuple[str, ...]:
    """The texts of a list, each once."""
    items = node.items if isinstance(node, Sequence) else ()
    texts = (item.value for item in items if isinstance(item, Scalar) and isinstance(item.value, str))
    return tuple(dict.fromkeys(texts))
