"""Writes the page: the figure, the data and the program in one file that needs no network.

Names and texts of a spec reach the page only as JSON, in which `<` is escaped, and from there only as text nodes; a
content security policy forbids everything else.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from archspec import palette
from archspec.graph.export import build_graph
from archspec.page.facts import facts
from archspec.render import to_svg

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from archspec.graph.graph import Graph
    from archspec.train.gates import GateStatistics

ASSETS: Final = Path(__file__).parent / "assets"
_COLOUR = re.compile(r'(fill|stroke)="(#[0-9a-fA-F]{3,8})"')


def page(graph: Graph, *, gates: Iterable[GateStatistics] = (), live: bool = False, problems: str = "") -> str:
    """The page of a checked graph as HTML.

    Args:
        graph: the graph.
        gates: mean gate weights, as `gate_statistics` returns them: the lines from experts to gates get that width.
        live: whether the page asks a local server for changes; see `serve`.
        problems: diagnostics to show above the figure, which is then the last one without errors.
    """
    drawn = build_graph(graph.spec)
    figures = {"paper": to_svg(drawn, caption=False), "full": to_svg(drawn, caption=False, detail="full")}
    if figures["full"] == figures["paper"]:
        del figures["full"]
    data = facts(graph, gates)
    return _filled(
        title=graph.spec.name,
        figures="".join(
            f'<div class="figure" id="figure-{detail}"{" hidden" * (detail != "paper")}>{svg}</div>'
            for detail, svg in figures.items()
        ),
        dark=_dark("".join(figures.values()), tuple(graph.spec.tasks)),
        data=json.dumps(data | {"problems": problems}, ensure_ascii=False, separators=(",", ":")),
        live=live,
    )


def broken_page(name: str, problems: str) -> str:
    """The page of a spec that has errors and never had a figure."""
    empty: dict[str, Any] = {
        "name": name, "about": "", "digest": "", "tasks": [], "nodes": {}, "edges": [], "source": {}, "gates": {},
        "parameters": None, "flops": None, "problems": problems,
    }  # fmt: skip
    return _filled(title=name, figures="", dark="", data=json.dumps(empty, ensure_ascii=False), live=True)


def _filled(*, title: str, figures: str, dark: str, data: str, live: bool) -> str:
    parts = {
        "TITLE": html.escape(title),
        "CONNECT": "'self'" if live else "'none'",
        "STYLE": (ASSETS / "page.css").read_text(encoding="utf-8") + dark,
        "FIGURES": figures,
        "DATA": data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"),
        "LIVE": "true" if live else "false",
        "PROGRAM": (ASSETS / "page.js").read_text(encoding="utf-8"),
    }
    text = (ASSETS / "page.html").read_text(encoding="utf-8")
    return re.sub(r"%%([A-Z]+)%%", lambda found: parts[found[1]], text)


def _dark(figures: str, tasks: Sequence[str]) -> str:
    """Rules that give each colour of the light figures its colour in the dark theme."""
    others = palette.recoloured(tasks, palette.LIGHT, palette.DARK)
    return "".join(
        f':root[data-theme="dark"] svg.archspec [{kind}="{colour}"]{{{kind}:{others[colour]}}}\n'
        for kind, colour in dict.fromkeys(_COLOUR.findall(figures))
        if others.get(colour, colour) != colour  # the text of a spec may read like a colour, too
    )
