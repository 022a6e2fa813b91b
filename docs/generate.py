"""Writes what the documentation shows of the code: `python docs/generate.py`.

The tables of architectures (README.md, docs/architectures.md), the excerpt of a built file (docs/emitted.md), the keys
of what `--json` prints (docs/json.md), the output of commands (docs/looking.md), and the figures in docs/figures/.
`--check` writes nothing, and fails if a text is out of date.
"""  # noqa: INP001 - a script, not a package

from __future__ import annotations

import contextlib
import re
import sys
import tomllib
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from click.testing import CliRunner

from archspec.cli.app import archspec
from archspec.compiler.comparison import Comparison
from archspec.compiler.compile import build
from archspec.compiler.count import count
from archspec.compiler.summary import Summary
from archspec.graph.export import build_graph
from archspec.graph.load import load_graph
from archspec.plugins import load as load_plugins
from archspec.render import render
from docs.site.architectures import plugins_of

if TYPE_CHECKING:
    from pydantic import BaseModel

    from archspec.graph.graph import Graph

ROOT = Path(__file__).resolve().parent.parent
SPECS, PLUGINS = ROOT / "specs", ROOT / "plugins"
FIGURES = ROOT / "docs" / "figures"
CHECKED = ROOT / "docs" / "checked.toml"
README_FIGURE = "ple"
WRITTEN = ("architectures", "emitted", "json", "looking")
"""The pages of docs/ that have generated parts."""
PRINTED = {
    "summary of ple": ("summary", "specs/ple.yaml"),
    "tree of ple": ("render", "specs/ple.yaml", "--format", "txt", "-o", "-"),
    "difference of cgc and ple": ("diff", "specs/cgc.yaml", "specs/ple.yaml"),
}
"""Part -> the command whose output it is."""
EXCERPT = "ple_video"
PLAIN = "its plain module | 1e-12"
"""The cells of a spec that was checked against nothing else."""


def graphs() -> dict[str, Graph]:
    """File name -> checked graph, of every spec in specs/, with those files of plugins/ that it asks for."""
    return {file.stem: load_graph(file, None, load_plugins(plugins_of(file))) for file in sorted(SPECS.glob("*.yaml"))}


def yaml_lines(name: str) -> int:
    """Lines of a spec that are neither empty nor a comment."""
    lines = (SPECS / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    return sum(bool(line.partition("#")[0].strip()) for line in lines)


def plugin_lines(graph: Graph) -> str:
    """Lines of the plugins that a spec needs, each linked; empty without one."""
    found = []
    for plugin in graph.spec.requires:
        lines = (PLUGINS / f"{plugin}.py").read_text(encoding="utf-8").splitlines()
        found.append(f"[{sum(bool(line.strip()) for line in lines)}](../plugins/{plugin}.py)")
    return " + ".join(found)


def about(graph: Graph) -> str:
    """The spec's `about` as a cell of a table."""
    return graph.spec.about.replace("|", r"\|")


def checked() -> dict[str, str]:
    """Spec -> what it was checked against and the largest difference, as two cells of a table."""
    told = tomllib.loads(CHECKED.read_text(encoding="utf-8"))
    if unknown := told.keys() - {file.stem for file in SPECS.glob("*.yaml")}:
        sys.exit(f"{CHECKED.name} names {', '.join(sorted(unknown))}, of which there is no spec")
    return {name: f"{row['against']} | {row['difference']}" for name, row in told.items()}


def short_table(found: dict[str, Graph]) -> str:
    """Spec and paper, three to a line: the table of the README."""
    cells = [f"[`{name}`](specs/{name}.yaml) | {about(graph)}" for name, graph in found.items()]
    length = (len(cells) + 2) // 3
    columns = (cells[start : start + length] for start in range(0, len(cells), length))
    rows = [f"| {' | '.join(row)} |" for row in zip_longest(*columns, fillvalue=" | ")]
    return "\n".join(["| spec | architecture | spec | architecture | spec | architecture |", "|---" * 6 + "|", *rows])


def long_table(found: dict[str, Graph]) -> str:
    """With lines, parameters, checks and figure: the table of docs/architectures.md."""
    told = checked()
    rows = [
        f"| [`{name}`](../specs/{name}.yaml) | {about(graph)} | {yaml_lines(name)} | {plugin_lines(graph)} "
        f"| {count(graph).known.parameters:,} | {told.get(name, PLAIN)} | [figure](figures/{name}.svg) |"
        for name, graph in found.items()
    ]
    columns = ("lines of YAML", "lines of plugin", "parameters", "checked against", "largest difference", "")
    head = f"| spec | architecture | {' | '.join(columns)} |"
    return "\n".join([head, "|---|---|--:|--:|--:|---|---|---|", *rows])


def excerpt(graph: Graph) -> str:
    """`forward` of a built file."""
    source = build(graph).source
    start = source.index("    def forward(")
    return f"```python\n{source[start : source.index('    @torch.no_grad()', start)].rstrip()}\n```"


def schema(model: type[BaseModel]) -> str:
    """The keys of a JSON object, a table per class; classes inside it come after it."""
    definitions = model.model_json_schema(mode="serialization", ref_template="{model}")
    inner = definitions.pop("$defs", {})
    parts = []
    for name, one in {model.__name__: definitions, **inner}.items():
        rows = [
            f"| `{key}` | {json_type(value)} | {value.get('description', '')} |"
            for key, value in one["properties"].items()
        ]
        about = " ".join(one.get("description", "").split())
        parts += [f"**{name}**. {about}", "\n".join(["| key | type | meaning |", "|---|---|---|", *rows])]
    return "\n\n".join(parts)


def json_type(value: dict[str, Any]) -> str:
    """The type of a key in words."""
    if "anyOf" in value:
        return " or ".join(json_type(each) for each in value["anyOf"])
    if "$ref" in value:
        return str(value["$ref"])
    match value.get("type"):
        case "array":
            return f"list of {json_type(value['items'])}"
        case "object":
            return f"object of {json_type(value['additionalProperties'])}"
        case None:
            return "any value"
        case name:
            return str(name)


def printed(*words: str) -> str:
    """What a command prints on standard output, called in the root of the repository."""
    with contextlib.chdir(ROOT):
        return CliRunner().invoke(archspec, [*words, "--quiet"]).stdout.rstrip()


def filled(text: str, parts: dict[str, str]) -> str:
    """The text with each generated part between its markers replaced."""
    for name, part in parts.items():
        marked = re.compile(rf"(<!-- generated: {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
        text = marked.sub(lambda match, part=part: match[1] + part + match[2], text)  # type: ignore[misc] # a bound default
    return text


def main() -> int:
    """Writes all, or checks the texts. Exit status 1: a text is out of date."""
    found = graphs()
    parts = {"short table": short_table(found), "long table": long_table(found), "excerpt": excerpt(found[EXCERPT])}
    parts |= {"summary": schema(Summary), "diff": schema(Comparison)}
    parts |= {name: f"```text\n$ archspec {' '.join(words)}\n{printed(*words)}\n```" for name, words in PRINTED.items()}
    stale = []
    for file in (ROOT / "README.md", *(ROOT / "docs" / f"{name}.md" for name in WRITTEN)):
        old = file.read_text(encoding="utf-8")
        if filled(old, parts) != old:
            stale.append(str(file.relative_to(ROOT)))
            if "--check" not in sys.argv:
                file.write_text(filled(old, parts), encoding="utf-8")
    if "--check" in sys.argv:
        sys.stdout.write("".join(f"{file} is out of date: run python docs/generate.py\n" for file in stale))
        return int(bool(stale))
    FIGURES.mkdir(exist_ok=True)
    for name, graph in found.items():
        render(build_graph(graph.spec), FIGURES / f"{name}.svg")
    render(build_graph(found[README_FIGURE].spec), FIGURES / f"{README_FIGURE}.png")
    printed("diff", "specs/cgc.yaml", "specs/ple.yaml", "--render", str(FIGURES / "cgc_to_ple.svg"))
    sys.stdout.write(f"{len(found)} specs; written: {', '.join(stale) or 'no text'}, docs/figures/\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
