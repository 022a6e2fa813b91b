"""`archspec kinds` and `archspec schema`: the kinds and keys that a spec may use."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import click

from archspec.cli import completion, options
from archspec.cli.messages import say

if TYPE_CHECKING:
    from archspec.contract import KindClass, Registry


@click.command()
@click.argument("name", required=False, shell_complete=completion.kinds)
@options.plugins
@options.as_json
def kinds(name: str | None, plugins: tuple[str, ...], *, as_json: bool) -> None:
    """List the kinds of inputs, experts, gates and more.

    With NAME, explain one: settings, formula, paper, file. NAME is for example `topk`, or, with its category,
    `gate.topk`.
    """
    from archspec.plugins import load

    registry = load(plugins)
    found = named(registry, name)
    if as_json:
        click.echo(json.dumps([described(category, kind, cls) for (category, kind), cls in found.items()], indent=2))
    elif name is None:
        say(overview(found))
    else:
        say("\n\n".join(explained(described(category, kind, cls)) for (category, kind), cls in found.items()))


@click.command()
@options.plugins
def schema(plugins: tuple[str, ...]) -> None:
    """Print the JSON Schema of the language.

    Editors use it for completion and checks. For the YAML extension of VS Code, save it and put
    `# yaml-language-server: $schema=archspec.schema.json` at the top of a spec.
    """
    from archspec.plugins import load
    from archspec.spec.schema import json_schema

    click.echo(json.dumps(json_schema(load(plugins)), indent=2))


def named(registry: Registry, name: str | None) -> dict[tuple[str, str], KindClass]:
    """The kinds with a name, `topk` or `gate.topk`, by category. Raises UsageError if there is none."""
    from archspec.contract import CATEGORIES
    from archspec.diagnostics import suggest

    keys = [(category, kind) for category in CATEGORIES for kind in registry.names(category)]
    every: dict[tuple[str, str], KindClass] = {key: registry.kinds[key] for key in keys}
    found = {key: cls for key, cls in every.items() if name in (None, key[1], ".".join(key))}
    if not found:
        guess = suggest(str(name), [word for key in every for word in (key[1], ".".join(key))])
        helps = f"did you mean `{guess}`?" if guess else "`archspec kinds` lists them"
        raise click.UsageError(f"no kind `{name}`; {helps}")
    return found


def overview(found: dict[tuple[str, str], KindClass]) -> str:
    """One line per kind, under its category."""
    width = max(len(kind) for _, kind in found)
    lines: list[str] = []
    for category in dict.fromkeys(category for category, _ in found):
        own = [(kind, cls) for (other, kind), cls in found.items() if other == category]
        lines += ["", category, *(f"  {kind:<{width}}  {_first_line(cls)}" for kind, cls in own)]
    return "\n".join(lines[1:])


def described(category: str, kind: str, cls: KindClass) -> dict[str, Any]:
    """A kind as data."""
    from archspec.contract.registry import place
    from archspec.spec.categories import COMMON, DEFAULT_KIND
    from archspec.spec.schema import settings_of

    return {
        "category": category,
        "kind": kind,
        "default": DEFAULT_KIND.get(category) == kind,
        "about": inspect.getdoc(cls) or "",
        "formula": cls.formula,
        "paper": cls.paper,
        "streams": streams(cls) if category == "expert" else "",
        "place": place(cls),
        "settings": settings_of(cls),
        "common": settings_of(COMMON[category]),
    }


def streams(cls: KindClass) -> str:
    """What a kind of expert or block takes and returns, such as `tokens to rows`."""
    from archspec.contract import ExpertKind

    assert issubclass(cls, ExpertKind)
    either = " or rows" if cls.tokens is not ExpertKind.tokens and cls.gives == "tokens" else ""
    return f"{cls.takes} to {cls.gives}{either}"


def explained(kind: dict[str, Any]) -> str:
    """A kind as text for people."""
    default = "  (the default)" if kind["default"] else ""
    about = [f"  {line}".rstrip() for line in kind["about"].splitlines()]
    lines = [f"{kind['category']} {kind['kind']}{default}", "", *about, ""]
    lines += [f"  {word}: {kind[word]}" for word in ("formula", "streams", "paper") if kind[word]]
    lines.append(f"  defined in: {kind['place']}")
    for title, settings in (("settings", kind["settings"]), (f"settings of every {kind['category']}", kind["common"])):
        if settings:
            lines += ["", f"  {title}:", *_rows(settings)]
    return "\n".join(lines)


def _rows(settings: list[dict[str, Any]]) -> list[str]:
    """One aligned line per setting."""
    cells = [(setting["name"], setting["type"], _default(setting)) for setting in settings]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row, setting in zip(cells, settings, strict=True):
        aligned = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(("   ", *aligned, " ".join(setting["about"].split()))).rstrip())
    return lines


def _default(setting: dict[str, Any]) -> str:
    return "required" if setting["required"] else f"default {json.dumps(setting['default'])}"


def _first_line(cls: KindClass) -> str:
    return next(iter((inspect.getdoc(cls) or "").splitlines()), "")
