"""Renames whatever else in an emitted file has the name of the file's class, by appending `_`."""

from __future__ import annotations

import builtins
import io
import tokenize

from archspec.compiler.runtime import reserved


def making_way(source: str, cls: str) -> str:
    """The source of a class, with everything else that has its name renamed.

    For the class `Tensor`, `from torch import Tensor` becomes `from torch import Tensor as Tensor_`, and so on.
    """
    if cls not in reserved():
        return source
    lines = source.splitlines(keepends=True)
    for (row, start), before in reversed(_with_predecessors(source, cls)):
        line = lines[row - 1]
        imported = line.startswith("from ") and before != "as"
        lines[row - 1] = f"{line[:start]}{f'{cls} as {cls}_' if imported else f'{cls}_'}{line[start + len(cls) :]}"
    renamed = "".join(lines).replace(f"class {cls}_(nn.Module):", f"class {cls}(nn.Module):", 1)
    if hasattr(builtins, cls) and f"{cls}_" in renamed:
        renamed = renamed.replace("\nfrom collections", f"\nfrom builtins import {cls} as {cls}_\nfrom collections", 1)
    return renamed


def _with_predecessors(source: str, name: str) -> list[tuple[tuple[int, int], str]]:
    """The places where a name is used other than as an attribute, each with the word before it."""
    found, before = [], ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.NAME and token.string == name and before != ".":
            found.append((token.start, before))
        before = token.string
    return found
