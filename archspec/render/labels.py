r"""Texts of a spec as labels in DOT.

Whatever characters a name contains, they are drawn as text: HTML-like labels get entities, backslashes are doubled
(graphviz reads `\N` as "the node's name" even there), line breaks become spaces, and invisible characters, such as
escapes or marks that change the direction of text, are written as escape sequences.
"""

from __future__ import annotations

import html
import textwrap
from typing import TYPE_CHECKING, Final

from archspec import palette
from archspec.render import style
from archspec.render.letters import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from archspec.palette import Hue
    from archspec.render.figure import Part

LONGEST: Final = 48  # characters in one line; longer lines end in an ellipsis
CAPTION: Final = 100  # the same for the caption
WRAP: Final = 26  # characters in a line of details


class Html(str):
    """An HTML-like label with its angle brackets: the only value that is written to DOT without quotes."""

    __slots__ = ()

    @property
    def inner(self) -> str:
        """The text between the brackets."""
        return self[1:-1]


def quote(text: object) -> str:
    r"""Text as a quoted DOT string; graphviz reads entities in these too, so an ampersand becomes an entity.

    >>> print(quote('a "b"'))
    "a \"b\""
    """
    escaped = plain(str(text)).replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def attributes(what: str, **values: object) -> str:
    """One DOT statement with a list of attributes; only `Html` is written without quotes."""
    return f"{what} [{', '.join(f'{key}={_value(content)}' for key, content in values.items())}];"


def _value(content: object) -> str:
    return content if isinstance(content, Html) else quote(content)


def words(text: str, longest: int = LONGEST) -> str:
    """Text inside an HTML-like label."""
    line = plain(text)
    shown = line if len(line) <= longest else line[: longest - 1] + "\u2026"
    return html.escape(shown).replace("\\", "\\\\")


def sized(text: str, size: int, colour: str = palette.INK, *, bold: bool = False, longest: int = LONGEST) -> str:
    """Text in one size and colour; nothing for an empty text, since graphviz refuses an empty element."""
    if not text:
        return ""
    inner = f"<b>{words(text, longest)}</b>" if bold else words(text, longest)
    return f'<font point-size="{size}" color="{colour}">{inner}</font>'


def lines(*texts: str) -> Html:
    """Sized texts below each other; empty ones are left out."""
    return Html(f"<{'<br/>'.join(text for text in texts if text) or ' '}>")


def boxed(title: str, detail: str, width: int = WRAP) -> Html:
    """A bold title over small details, in lines of `width` characters: experts, towers, inputs."""
    details = textwrap.wrap(detail.replace(" : ", "\u00a0:\u00a0"), width, break_long_words=False)  # no size on its own
    return lines(sized(title, style.TITLE_SIZE, bold=True), *(sized(line, style.DETAIL_SIZE) for line in details))


def light(title: str, small: Iterable[str], colour: str) -> Html:
    """A coloured title over lines of small details, none bold: gates and fusions; a single sign is large."""
    size = style.LABEL_SIZE if len(title) > 1 else style.SIGN_SIZE
    return lines(sized(title, size, colour), *(sized(line, style.DETAIL_SIZE - 1, colour) for line in small))


def caption(name: str, about: str) -> Html:
    """The line below the figure: name and `about`."""
    parts = (
        sized(name, style.TITLE_SIZE, bold=True),
        sized(about, style.LABEL_SIZE, palette.MUTED, longest=CAPTION),
    )
    words_of_both = "&#160;&#160;".join(part for part in parts if part)
    return lines('<font point-size="4">&#160;</font>', words_of_both) if words_of_both else Html("< >")


def _expert(part: Part) -> str:
    return boxed(part.title, ", ".join(filter(None, (part.detail, *part.words)))).inner


def group(parts: Sequence[Part], name: str, hue: Hue) -> Html:
    """Experts: a tinted box, an inner box with a port for each expert, the group's name below."""
    cells = "".join(
        f"<td{f' port={quote(part.port)}' if part.port else ''}>"
        f'<table border="1" style="rounded" bgcolor="{hue.fill}" color="{hue.line}" cellborder="0" cellspacing="0"'
        f' cellpadding="7"><tr><td>{_expert(part)}</td></tr></table></td>'
        for part in parts
    )
    label = sized(name, style.LABEL_SIZE, hue.text)
    below = f'<tr><td colspan="{len(parts)}">{label}</td></tr>' if label else ""
    return Html(
        f'<<table border="1" style="rounded" bgcolor="{hue.tint}" color="{hue.edge}" cellborder="0" cellspacing="9"'
        f' cellpadding="0"><tr>{cells}</tr>{below}</table>>'
    )
