"""A page for each spec in specs/: figure, paper, sizes, YAML and plugins."""

from __future__ import annotations

import re
import shutil
import tomllib
from typing import TYPE_CHECKING, Final

from archspec.cli.tables import number
from archspec.compiler.summary import summarize
from archspec.graph.load import load_graph
from archspec.page import page as interactive
from archspec.plugins import load
from archspec.spec.source import Scalar, Sequence, parse, read
from docs.site.staging import ROOT, write

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from archspec.compiler.summary import Summary
    from archspec.graph.graph import Graph

SPECS: Final = ROOT / "specs"
EXTRA: Final = "extra"
"""The folder of what the site holds as it is."""

ASK: Final = """\
## Ask the figure

Click a task to see what its loss trains, and any block for its settings and what it reads;
[Figures](../drawing.md) explains the rest.

```{{raw}} html
<iframe class="interactive" src="../interactive/{name}.html" title="{name}, interactive" loading="lazy"></iframe>
<p><a href="../interactive/{name}.html">Open it alone</a></p>
```"""
"""The section with the interactive page, which `archspec render SPEC -o page.html` writes."""


def write_pages(folder: Path, shown: Collection[str] | None = None) -> list[str]:
    """Writes the pages, and a gallery into their index, which is there; returns the names of the specs.

    `shown` are the specs whose page has the interactive one inside, which is half of the work; None: all.
    """
    checks = tomllib.loads((ROOT / "docs" / "checked.toml").read_text(encoding="utf-8"))
    found: dict[str, Graph] = {}
    for file in sorted(SPECS.glob("*.yaml")):
        plugins = plugins_of(file)
        graph = found[file.stem] = load_graph(file, None, load(plugins))
        ask = "" if shown is not None and file.stem not in shown else ASK.format(name=file.stem)
        write(folder / "architectures" / f"{file.stem}.md", page(file, plugins, graph, checks.get(file.stem), ask))
        if ask:
            write(folder / EXTRA / "interactive" / f"{file.stem}.html", interactive(graph))
        figure = folder / "architectures" / "figures" / f"{file.stem}.svg"
        figure.parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / "docs" / "figures" / f"{file.stem}.svg", figure)
    index = folder / "architectures" / "index.md"
    before, mark, after = index.read_text(encoding="utf-8").partition("<!-- generated: long table -->")
    write(index, f"{before}{gallery(found)}\n\n## Sizes and checks\n\n{mark}{after}")
    return list(found)


def gallery(found: dict[str, Graph]) -> str:
    """All figures, small, each with a link to its page."""
    cards = [
        f"```{{container}} card\n[![{name}](figures/{name}.svg)]({name}.md)\n\n[**{name}**]({name}.md)\\\n"
        f"{graph.spec.about.partition(' (')[0]}\n```"
        for name, graph in found.items()
    ]
    return "\n".join(["````{container} gallery", *cards, "````"])


def plugins_of(file: Path) -> list[Path]:
    """The plugin files that a spec requires."""
    asked = parse(read(file), file.name).get("requires")
    items = asked.items if isinstance(asked, Sequence) else ()
    return [ROOT / "plugins" / f"{item.value}.py" for item in items if isinstance(item, Scalar)]


def page(file: Path, plugins: list[Path], graph: Graph, check: dict[str, str] | None, ask: str) -> str:
    """The Markdown of one spec; `ask` is the section with its interactive page."""
    name, flags = file.stem, "".join(f" --plugin plugins/{plugin.name}" for plugin in plugins)
    lines = file.read_text(encoding="utf-8").rstrip()
    commands = (
        f"archspec init {name}", f"archspec render specs/{name}.yaml{flags} -o {name}.svg",
        f"archspec build specs/{name}.yaml{flags}",
    )  # fmt: skip
    parts = [
        f"# {name}",
        _with_papers(graph.spec.about),
        f"```{{image}} figures/{name}.svg\n:alt: {name}: {graph.spec.about}\n:class: figure\n```",
        *([ask] if ask else []),
        sizes(summarize(graph)),
        _checked(check),
        f"## The spec\n\n```yaml\n{lines}\n```",
        *(f"## The plugin `{one.stem}`\n\n```python\n{one.read_text('utf-8').rstrip()}\n```" for one in plugins),
        "\n".join(["## Try it", "", "```sh", *commands, "```"]),
    ]
    return "\n\n".join(parts) + "\n"


def sizes(found: Summary) -> str:
    """Parameters and FLOPs, of the whole and by task."""
    rows = [
        f"| `{task.task}` | {task.kind} | {number(task.flops)} | {number(task.parameters)} | {number(task.alone)} "
        f"| {number(task.shared)} | {number(task.untrained)} |"
        for task in found.by_task
    ]
    total = (
        f"{number(found.total.parameters)} parameters, {found.tables:,} of them in embedding tables; "
        f"{number(found.total.flops)} FLOPs per row. By task: what its score needs, and what its loss trains."
    )
    columns = "| task | kind | FLOPs per row | parameters | trained alone | with others | not trained |"
    return "\n".join(["## Sizes", "", total, "", columns, "|---|---|--:|--:|--:|--:|--:|", *rows])


def _checked(check: dict[str, str] | None) -> str:
    """What the spec was compared with."""
    if check is None:
        return "Checked in float64 against a hand-written PyTorch module with the same weights, to 1e-12."
    difference = f" Largest difference: {check['difference']}." if check["difference"] else ""
    return f"Checked against {check['against']}.{difference}"


def _with_papers(about: str) -> str:
    """The spec's `about` with a link to the paper, where it names one on arXiv."""
    return re.sub(r"arXiv (\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", about)
