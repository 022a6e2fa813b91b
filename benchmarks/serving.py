"""Every spec in every format of `archspec export`: the difference to the model, or the operation the format lacks.

`python -m benchmarks.serving [--to FORMAT]... [SPEC]...` measures, keeps the cells in `benchmarks/serving.json`, and
writes the table of docs/serving.md; without arguments, all specs in all formats. AOTInductor needs a minute for each.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

import archspec
from archspec.diagnostics import SpecError
from archspec.files import write_whole
from archspec.serving.formats import Format
from examples.report import write_section

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).resolve().parent.parent
CELLS: Final = Path(__file__).with_name("serving.json")
PAGE: Final = ROOT / "docs" / "serving.md"
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
Cells = dict[str, dict[str, str]]
"""Spec -> format -> what was measured."""


def cell(spec: Path, to: Format) -> str:
    """The largest difference, or the message of the refusal."""
    plugins = sorted((ROOT / "plugins").glob("*.py"))
    with tempfile.TemporaryDirectory() as folder:
        try:
            return f"{archspec.export(spec, to, folder, plugins=plugins, seed=0).difference:.0e}"
        except SpecError as error:
            return error.diagnostics[0].message


def table(cells: Mapping[str, Mapping[str, str]]) -> str:
    """The table in Markdown; a cell that was not measured is a dash."""
    lines = [f"| spec | {' | '.join(FORMATS)} |", f"|---|{'---|' * len(FORMATS)}"]
    lines += [
        f"| `{spec}` | {' | '.join(found.get(to, '-') for to in FORMATS)} |" for spec, found in sorted(cells.items())
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures, and writes the cells and the table after each one."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("specs", nargs="*", default=sorted(path.stem for path in (ROOT / "specs").glob("*.yaml")))
    parser.add_argument("--to", action="append", choices=FORMATS)
    options = parser.parse_args()
    cells: Cells = json.loads(CELLS.read_text(encoding="utf-8")) if CELLS.exists() else {}
    for spec in options.specs:
        for to in options.to or FORMATS:
            cells.setdefault(spec, {})[to] = cell(ROOT / "specs" / f"{spec}.yaml", to)
            sys.stdout.write(f"{spec} {to}: {cells[spec][to]}\n")
            sys.stdout.flush()
            write_whole(CELLS, json.dumps(cells, indent=1, sort_keys=True) + "\n")
            write_section(PAGE, "serving", table(cells))


if __name__ == "__main__":
    main()
