"""A recipe in a file: the same keys and checks as those of `Recipe`, read like a spec."""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

from pydantic import BeforeValidator, Field, create_model

from archspec.contract import Settings
from archspec.diagnostics import Diagnostics
from archspec.files import write_whole
from archspec.runs.files import RECIPE
from archspec.runs.recipe import Names, Recipe
from archspec.spec.problems import validated
from archspec.spec.source import read_settings
from archspec.spec.text import dump

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from archspec.diagnostics import Span

_HEAD: Final = "# How this run was trained: `archspec train SPEC --data ... --recipe FILE` trains like it.\n"


@dataclass(frozen=True, slots=True)
class WrittenRecipe:
    """The settings in a recipe file, by the names of `Recipe`: values, and their places in the file."""

    values: dict[str, Any]
    places: dict[str, Span]


def read_recipe(path: str | os.PathLike[str]) -> WrittenRecipe:
    """Reads a recipe file: a mapping from fields of `Recipe` to values; all are optional.

    Args:
        path: the file, in YAML; `-` is standard input.

    Raises:
        SpecError: the file does not exist, is not valid YAML, or contains an unknown key or a wrong value: with line,
            caret and suggestion.
    """
    tree, diagnostics = read_settings(path), Diagnostics()
    found = validated(_settings(), tree, "the recipe", tree.span, diagnostics)
    diagnostics.raise_errors()
    return WrittenRecipe(
        {entry.key: getattr(found, entry.key) for entry in tree.entries},
        {entry.key: entry.node.span for entry in tree.entries},
    )


def write_recipe(recipe: Recipe, folder: Path) -> None:
    """Writes the whole recipe of a run into its folder, also what has its default, which may change one day."""
    write_whole(folder / RECIPE, _HEAD + dump(asdict(recipe)))


@cache
def _settings() -> type[Settings]:
    """The settings class whose fields are those of `Recipe`."""
    hints = get_type_hints(Recipe, include_extras=True)
    found: dict[str, Any] = {
        item.name: (
            _readable(hints[item.name]),
            Field(default_factory=item.default_factory) if item.default_factory is not MISSING else item.default,
        )
        for item in fields(Recipe)
    }  # fmt: skip
    return create_model("RecipeSettings", __base__=Settings, **found)


def _readable(hint: Any) -> Any:  # noqa: ANN401 - any annotation
    """The annotation of a field, for a file: `precision: 32` needs no quotes, and names may be a list."""
    if get_origin(hint) is Literal or any(get_origin(part) is Literal for part in get_args(hint)):
        return Annotated[hint, BeforeValidator(_text)]
    return Annotated[hint, BeforeValidator(_joined)] if hint == Names else hint


def _text(value: object) -> object:
    """A number as its text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _joined(value: object) -> object:
    """A list of names as one text."""
    return ",".join(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else value
