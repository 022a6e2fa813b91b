"""Shell completions after TAB: specs, plugins, codes, kinds and templates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Iterable

    import click

    from archspec.contract import Registry


def spec_files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files, which the shell lists itself."""
    return [CompletionItem(incomplete, type="file")]


plugin_files = spec_files


def codes(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Codes of findings, such as AS307, with their titles."""
    from archspec.diagnostics import CODES

    return _starting(incomplete.upper(), CODES.items())


def kinds(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of kinds, `topk` or `gate.topk`, including those of the plugins on the command line so far."""
    registry = _registry(context)
    names = [(name, category) for category, name in registry.kinds]
    return _starting(incomplete, [*names, *((f"{category}.{name}", category) for category, name in registry.kinds)])


def words(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Arguments of `archspec explain`: keys of the language, and codes."""
    from archspec.cli.explain import explained_keys

    keys = dict.fromkeys(explained_keys(_registry(context)), "")
    return [*_starting(incomplete, keys.items()), *codes(context, parameter, incomplete)]


def templates(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Architectures that `archspec init` writes."""
    from archspec.cli.architectures import architectures

    return _starting(incomplete, architectures().items())


def _registry(context: click.Context) -> Registry:
    """The kinds, including plugins; only built-in ones if a plugin cannot be imported, since completion never fails."""
    from archspec.diagnostics import SpecError
    from archspec.plugins import built_in, load

    try:
        return load(context.params.get("plugins") or ())
    except SpecError:
        return built_in()


def _starting(start: str, found: Iterable[tuple[str, str]]) -> list[CompletionItem]:
    matching = sorted({word: about for word, about in found if word.startswith(start)}.items())
    return [CompletionItem(word, help=about or None) for word, about in matching]
