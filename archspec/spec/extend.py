"""`extends` and overrides: merges several trees into one; every value remembers the place where to edit it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from collections.abc import Mapping as MappingType
from dataclasses import replace
from pathlib import Path
from typing import Any

from archspec.contract.limits import DEEPEST, MOST_EXTENDED, MOST_VALUES
from archspec.diagnostics import Diagnostic, Diagnostics, Note, Span, SpecError, suggest
from archspec.files import is_file, names_in
from archspec.spec.source import parse, read
from archspec.spec.tree import Entry, Mapping, Node, Scalar, Sequence, is_empty, is_null, size, span_at, with_provenance


def extended(tree: Mapping, file: str, diagnostics: Diagnostics) -> Mapping:
    """The tree merged over the files that it extends, all below the first file's folder.

    Raises:
        SpecError: a file that is missing, unreadable, outside the folder, or extends itself; too many files.
    """
    entry = tree.entry("extends")
    if entry is None:
        return tree
    here = _resolved(Path(file) if is_file(file) else Path(), entry.node)
    root = here.parent if here.is_file() else here
    return _extended(tree, here, root, diagnostics, (here,), ())


def _extended(  # noqa: PLR0913, PLR0917 - each is a part of the way so far
    tree: Mapping,
    here: Path,
    root: Path,
    diagnostics: Diagnostics,
    chain: tuple[Path, ...],
    provenance: tuple[Note, ...],
) -> Mapping:
    entry = tree.entry("extends")
    if entry is None:
        return tree
    path, span = _base_path(entry.node, here, root), entry.node.span
    if path in chain:
        cycle = " -> ".join(p.name for p in (*chain[chain.index(path) :], path))
        raise SpecError([Diagnostic("AS121", f"files extend each other: {cycle}", span, help="drop one `extends`")])
    if len(chain) > MOST_EXTENDED:
        message = f"more than {MOST_EXTENDED} files extend each other in a row"
        raise SpecError(
            [Diagnostic("AS138", message, span, notes=provenance[-1:], help="write some of them as one file")]
        )
    value = entry.node.value if isinstance(entry.node, Scalar) else ""
    shown = os.path.normpath(Path(span.file).parent / str(value))
    base = _base(path, shown, span, diagnostics)
    provenance = (_extending(span), *provenance)
    merged: Mapping = merge(
        _extended(with_provenance(base, provenance), path, root, diagnostics, (*chain, path), provenance),
        tree.without("extends"),
    )
    if size(merged) > MOST_VALUES:
        message = f"with the files that it extends, the spec has more than {MOST_VALUES:,} values"
        raise SpecError([Diagnostic("AS133", message, span, help="extend fewer files")])
    return merged


def _extending(span: Span) -> Note:
    return Note(f"`{Path(span.file).name}` extends this file", span)


def _base_path(node: Node, here: Path, root: Path) -> Path:
    if not (isinstance(node, Scalar) and isinstance(node.value, str)):
        raise SpecError([Diagnostic("AS120", "`extends` takes the path of one spec file", node.span,
                                    help="write `extends: FILE.yaml`")])  # fmt: skip
    if "://" in node.value:
        raise SpecError([Diagnostic("AS120", "`extends` takes the path of a file, not an address", node.span,
                                    help="save the file beside the spec, and extend that")])  # fmt: skip
    path = _resolved((here.parent if here.is_file() else here) / node.value, node)
    if not path.is_relative_to(root) or Path(node.value).is_absolute():
        raise SpecError(
            [Diagnostic("AS122", f"`extends` leaves the folder of the spec: `{node.value}`", node.span,
                        help="keep the files that a spec extends in its folder or below")]
        )  # fmt: skip
    return path


def _resolved(path: Path, node: Node) -> Path:
    """The path without links and `..`, even for a file that does not exist."""
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links is a RuntimeError until Python 3.13
        reason = str(error.strerror if isinstance(error, OSError) else error)
        raise SpecError([_unusable_path(node, reason)]) from error


def _unusable_path(node: Node, reason: str) -> Diagnostic:
    value = node.value if isinstance(node, Scalar) else ""
    reason = "a loop of links" if "loop" in reason.lower() or "symbolic" in reason else reason
    message = f"`{value}` cannot be read as a path: {reason[:1].lower()}{reason[1:]}"
    return Diagnostic("AS120", message, node.span, notes=node.provenance, help="write `extends: FILE.yaml`")


def _base(path: Path, shown: str, span: Span, diagnostics: Diagnostics) -> Mapping:
    """The tree of an extended file; errors in the file mention the file that extends it."""
    try:
        text = read(path, shown=shown)
    except SpecError as error:
        raise SpecError([_unreadable(error.diagnostics[0], path, shown, span)]) from error
    try:
        return parse(text, shown, diagnostics)
    except SpecError as error:
        raise SpecError(replace(item, notes=(*item.notes, _extending(span))) for item in error.diagnostics) from error


def _unreadable(why: Diagnostic, path: Path, shown: str, span: Span) -> Diagnostic:
    if why.code != "AS001":
        return Diagnostic("AS120", f"cannot extend this: {why.message}", span, help=why.help)
    siblings = {Path(name).stem: name for name in names_in(path.parent)}
    guess = suggest(path.stem, siblings)
    helps = "the path is relative to the file that contains `extends`"
    if guess:
        helps = f"did you mean `{os.path.normpath(Path(shown).parent / siblings[guess])}`?"
    return Diagnostic("AS120", f"there is no file `{shown}` to extend", span, help=helps)


def merge(base: Node, over: Node, key: str = "") -> Any:  # noqa: ANN401 - a node of the kind of `over`
    """Merges `over` into `base`: mappings by key, `levels` by level, all else is replaced; `null` removes a key."""
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        merged = {entry.key: entry for entry in base.entries}
        for entry in over.entries:
            old = merged.get(entry.key)
            if is_empty(entry.node) and old is not None:
                del merged[entry.key]
            else:
                node = _removing(entry) if old is None else merge(old.node, entry.node, entry.key)
                merged[entry.key] = replace(entry, node=node)
        return Mapping(tuple(merged.values()), over.span, over.provenance)
    if key == "levels" and isinstance(base, Sequence) and isinstance(over, Sequence):
        shared = min(len(base.items), len(over.items))
        items = [merge(old, new) for old, new in zip(base.items, over.items, strict=False)]
        items += (*base.items[shared:], *over.items[shared:])
        kept = (item for item in items if not is_empty(item))
        return Sequence(tuple(kept), over.span, over.provenance)
    return over


def _removing(entry: Entry) -> Node:
    """The value of a key that the extended file does not have; a `null` was probably meant to remove one."""
    node = entry.node
    if is_null(node):
        return replace(
            node,
            provenance=(
                *node.provenance,
                Note(f"`null` removes a key, but the extended file has no `{entry.key}` here"),
            ),
        )
    return node


def overridden(tree: Mapping, overrides: MappingType[str, object] | Iterable[str]) -> Mapping:
    """The tree with values set by path, such as `levels.1.repeat=3` (levels count from 1) or `{"name": "wide"}`.

    `null` removes a key.

    Raises:
        SpecError: a setting without `=`, a value that is not YAML, a path through something that is not a mapping.
    """
    texts = overrides if not isinstance(overrides, MappingType) else [f"{k}={_flow(v)}" for k, v in overrides.items()]
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals or not path:
            raise SpecError(
                [Diagnostic("AS136", f"`--set {text}` has no path or no `=`", help="write `--set PATH=VALUE`")],
                status=2,
            )
        if path.partition(".")[0] == "extends":
            helps = "write a new spec that extends the file"
            raise SpecError(
                [
                    Diagnostic(
                        "AS136", f"`--set {path}`: `extends` cannot be overridden, since it is read first", help=helps
                    )
                ],
                status=2,
            )
        if path.count(".") >= DEEPEST:
            helps = f"a path may have at most {DEEPEST} steps"
            raise SpecError([Diagnostic("AS136", f"`{path}` is too long for a path", help=helps)], status=2)
        place = f"--set {path}"
        parsed = parse(f"value: {value}", place).entry("value")
        assert parsed is not None
        tree = _set(tree, path.split("."), parsed.node, place, path)
    return tree


def _set(tree: Node, path: list[str], value: Node, place: str, whole: str) -> Any:  # noqa: ANN401 - a node like `tree`
    if not path:
        return value
    step, rest = path[0], path[1:]
    span = Span(place, 1, 1, 1, 1)
    if isinstance(tree, Mapping):
        if not rest and is_empty(value):
            return tree.without(step)
        entry = tree.entry(step) or Entry(step, span, Mapping((), span) if rest else value)
        return tree.with_entry(replace(entry, node=_set(entry.node, rest, value, place, whole)))
    if isinstance(tree, Sequence) and step.isdecimal() and 1 <= int(step) <= len(tree.items):
        index = int(step) - 1
        items = list(tree.items)
        items[index] = _set(items[index], rest, value, place, whole)
        return replace(tree, items=tuple(items))
    done = ".".join(whole.split(".")[: -len(path)])
    raise SpecError([_nowhere(tree, done, step, whole)], status=2)


def _nowhere(tree: Node, done: str, step: str, whole: str) -> Diagnostic:
    """A path whose `step` leads out of the part of the tree at `done`."""
    if not isinstance(tree, Sequence):
        what, help_ = f"`{done}` is a single value, so it has no `{step}`", f"to replace it, write `--set {done}=VALUE`"
    elif not tree.items:
        what, help_ = f"`{done}` is an empty list", f"to replace it, write `--set {done}=[...]`"
    else:
        count = len(tree.items)
        what = f"`{done}` has {'one entry' if count == 1 else f'{count} entries'}, but none is `{step}`"
        instead = ".".join((done, str(count), *whole.split(".")[done.count(".") + 2 :]))
        help_ = f"entries are counted from 1 as written, before `repeat`: `--set {instead}=...`"
    return Diagnostic("AS136", f"`--set {whole}`: {what}", span_at(tree, ()), help=help_)


def _flow(value: object) -> str:
    import json

    return json.dumps(value)
