"""Names of an old spec by those of a new one, for weights that move from one to the other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archspec.diagnostics import Diagnostics, suggest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Renames:
    """Canonical names of the old model by those of the new one.

    Args:
        moved: old name -> new name: a node (`level1.experts.shared`), or a word (`ctr`) for every node of that name.
    """

    def __init__(self, moved: Mapping[str, str]) -> None:
        self.moved = dict(moved)
        self._words = {after: before for before, after in self.moved.items() if "." not in after}

    def old(self, name: str) -> str:
        """The old name of a node or weight of the new model."""
        for before, after in self.moved.items():
            if "." in after and (name == after or name.startswith(f"{after}.")):
                return before + name[len(after) :]
        return ".".join(self._words.get(part, part) for part in name.split("."))

    def check(self, old: Iterable[str], new: Iterable[str]) -> None:
        """Raises SpecError AS805 if an old name is not in the old model, or a new name is not in the new one."""
        problems = Diagnostics()
        sides = (
            ("was trained", "old", [*self.moved], [*old]),
            ("is in the new spec", "new", [*self.moved.values()], [*new]),
        )
        for words, side, names, known in sides:
            parts = {part for name in known for part in _prefixes(name)}
            for name in names:
                if name not in parts:
                    near = suggest(name, sorted(parts))
                    problems.error(
                        "AS805", f"nothing named `{name}` {words}",
                        help=f"did you mean `{near}`?" if near else f"give the {side} name of a node or of its group",
                    )  # fmt: skip
        problems.raise_errors(status=2)


def _prefixes(name: str) -> set[str]:
    """The beginnings and the words of a canonical name."""
    parts = name.split(".")
    return {".".join(parts[:end]) for end in range(1, len(parts) + 1)} | set(parts)
