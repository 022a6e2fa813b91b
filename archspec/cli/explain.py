"""`archspec explain`: explains a code, a section or a setting."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from archspec.cli import completion, options
from archspec.cli.messages import say
from archspec.diagnostics import suggest

if TYPE_CHECKING:
    from archspec.contract import Registry, Settings

EXPLANATIONS: Final = Path(__file__).parent / "explanations.md"
_SECTION = re.compile(r"^## (AS\d{3}) (.+)\n((?:(?!## ).*\n?)*)", re.MULTILINE)


@click.command()
@click.argument("word", metavar="CODE_OR_KEY", shell_complete=completion.words)
@options.plugins
@options.as_json
def explain(word: str, plugins: tuple[str, ...], *, as_json: bool) -> None:
    """Explain the code of a diagnostic, or a key of a spec.

    CODE_OR_KEY is for example AS204, sees, units or towers. A key can have several meanings, one for each place where
    a spec may use it.
    """
    codes = explained_codes()
    if (code := word.upper().strip("[]")) in codes:
        title, text = codes[code]
        found = {"code": code, "title": title, "text": text}
        click.echo(json.dumps(found, indent=2) if as_json else f"{code}: {title}\n\n{text}")
        return
    from archspec.plugins import load

    keys = explained_keys(load(plugins))
    if word not in keys:
        guess = suggest(word, keys) or suggest(code, codes)
        raise click.UsageError(f"no code and no key `{word}`" + (f"; did you mean `{guess}`?" if guess else ""))
    say(json.dumps({"key": word, "meanings": keys[word]}, indent=2) if as_json else "\n".join(keys[word]))


def explained_codes() -> dict[str, tuple[str, str]]:
    """Code -> title and paragraph."""
    text = EXPLANATIONS.read_text(encoding="utf-8")
    return {code: (title, body.strip()) for code, title, body in _SECTION.findall(text)}


def explained_keys(registry: Registry) -> dict[str, list[str]]:
    """Key -> its meanings in all places of the language: sections, keys of a category, settings of kinds."""
    from archspec.spec.categories import ABOUT, COMMON, DEFAULTS, kinds_of
    from archspec.spec.schema import settings_of

    found = {section: [f"section `{section}`: {about}"] for section, about in ABOUT.items()}
    meanings: dict[str, dict[str, list[str]]] = {}
    owners: list[tuple[str, type[Settings]]] = [(f"every {category}", cls) for category, cls in COMMON.items()]
    owners += [(f"{category} `{kind}`", cls) for (category, kind), cls in sorted(registry.kinds.items())]
    for owner, cls in owners:
        for setting in settings_of(cls):
            default = "required" if setting["required"] else f"default {setting['default']}"
            text = f"{setting['type']}; {default}. {setting['about']}".strip()
            meanings.setdefault(setting["name"], {}).setdefault(text, []).append(owner)
    for name, texts in meanings.items():
        found.setdefault(name, []).extend(f"`{name}` of {', '.join(who)}: {text}" for text, who in texts.items())
    choices = "; ".join(
        f"{section}: {', '.join(registry.names(kinds_of(category)))}" for category, section in DEFAULTS.items()
    )
    found["kind"] = [*found.get("kind", []), f"`kind` of a block: which kind of its category it is. {choices}"]
    found["repeat"] = ["`repeat` of a level: whole number from 1 to 1000; default 1. The number of copies, stacked."]
    found["loss"] = [f"`loss` of a task: one of, or a list of, {', '.join(registry.names('loss'))}"]
    return found
