"""The documentation is correct: its code runs, its specs load, its commands exist, its tables are up to date."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pydantic_core import PydanticUndefined

import archspec
from archspec.plugins import built_in
from archspec.spec.categories import COMMON

if TYPE_CHECKING:
    from archspec.contract import Settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SECTIONS = {
    "input": "Inputs",
    "expert": "Expert groups",
    "gate": "Gates",
    "feature_gate": "Feature gates",
    "block": "Blocks",
    "tower": "Towers",
    "fusion": "Fusion",
    "loss": "Tasks",
    "task": "Tasks",
    "balance": "Balance",
}


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language on a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command of this interpreter with the checkout on its path."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "PYTHONWARNINGS": "error"}
    words = [sys.executable, *words]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with specs/ and a built PLE for trying the commands of the pages."""
    shutil.copytree(ROOT / "specs", tmp_path / "specs")
    assert run(["-m", "archspec", "build", "specs/ple.yaml"], tmp_path).returncode == 0
    return tmp_path


def test_the_first_code_of_the_readme_runs_as_it_stands(checkout: Path) -> None:
    """The README's first Python block, pasted into a file, runs without a warning and prints the shown output."""
    (checkout / "pasted.py").write_text(blocks(ROOT / "README.md", "python")[0], encoding="utf-8")
    done = run(["pasted.py"], checkout)
    assert done.returncode == 0, done.stderr
    assert "tensor(" in done.stdout


def test_code_of_the_pages_runs(checkout: Path) -> None:
    """Each Python block of docs/ with its imports runs; excerpts of built files are skipped."""
    found = [
        block
        for page in PAGES[2:]
        if page.name != "plugins.md"  # blocks that depend on each other: tests/test_docs_plugins.py
        for block in blocks(page, "python")
        if re.search(r"^(import|from) ", block, re.MULTILINE)
    ]
    assert len(found) > 3
    for number, block in enumerate(found):
        (checkout / f"pasted{number}.py").write_text(block, encoding="utf-8")
    (checkout / "all.py").write_text(
        "import pathlib, runpy, sys\n"
        "for path in sorted(pathlib.Path().glob('pasted*.py')):\n"
        "    print(path.read_text(), file=sys.stderr)\n"
        "    runpy.run_path(str(path))\n",
        encoding="utf-8",
    )
    done = run(["all.py"], checkout)
    assert done.returncode == 0, done.stderr


def whole_specs() -> list[tuple[str, str]]:
    """Page and text of every YAML block that is a complete spec."""
    pages = [page for page in PAGES if page.name != "plugins.md"]  # its spec needs the page's plugin
    return [(page.name, b) for page in pages for b in blocks(page, "yaml") if b.startswith("archspec:")]


@pytest.mark.parametrize(("page", "text"), whole_specs())
def test_a_spec_on_a_page_loads(page: str, text: str) -> None:
    """Every complete spec in the documentation is valid."""
    if "extends: ple.yaml" in text:
        text = text.replace("extends: ple.yaml", "extends: specs/ple.yaml")
        (place := ROOT / f".{page}.yaml").write_text(text, encoding="utf-8")
        try:
            assert archspec.load(place).digest == archspec.load(ROOT / "specs" / "cgc.yaml").digest
        finally:
            place.unlink()
    else:
        assert archspec.load(text).tasks


def test_the_spec_of_the_readme_is_the_one_that_its_figure_shows() -> None:
    """The README's spec is equivalent to specs/ple.yaml, which the figure shows, and both figures exist."""
    assert (
        archspec.load(blocks(ROOT / "README.md", "yaml")[0]).digest == archspec.load(ROOT / "specs" / "ple.yaml").digest
    )
    assert (ROOT / "docs" / "figures" / "ple.svg").read_text(encoding="utf-8").count("shared experts") == 2
    assert (ROOT / "docs" / "figures" / "ple.png").read_bytes().startswith(b"\x89PNG")


def test_the_readme_shows_what_archspec_says_of_a_bad_spec(tmp_path: Path) -> None:
    """The message in the README is the real one, character by character."""
    text = blocks(ROOT / "README.md", "yaml")[0].replace("[$task, shared]", "[$task, sharde]")
    (tmp_path / "ple.yaml").write_text(text, encoding="utf-8")
    done = run(["-m", "archspec", "validate", "ple.yaml"], tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip() == blocks(ROOT / "README.md", "text")[0].strip()


def test_commands_on_the_pages_exist() -> None:
    """Every `archspec COMMAND` on a page is an existing command."""
    known = re.findall(r"^  ([a-z]+) ", run(["-m", "archspec", "--help"], ROOT).stdout, re.MULTILINE)
    shown = {
        word
        for page in PAGES
        for line in re.findall(r"`([^`\n]+)`|^(archspec .*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        for word in re.findall(r"^archspec ([a-z]+)\b", "".join(line))
    }
    assert {"validate", "build", "render"} <= shown
    assert shown <= set(known)


def test_links_lead_somewhere() -> None:
    """Every relative link of a page leads to a file of the repository, and every anchor to a heading."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]*)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name}: {target}"
        for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", page.read_text(encoding="utf-8")):
            goal = (page.parent / target if target else page).read_text(encoding="utf-8")
            headings = re.findall(r"^#+ (.*)$", goal, re.MULTILINE)
            assert anchor in {re.sub(r"[^a-z0-9 _-]", "", h.lower()).replace(" ", "-") for h in headings}, (
                f"{page.name}: {anchor}"
            )


def test_the_readme_is_short() -> None:
    """The README has at most 150 lines."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_generated_parts_are_up_to_date() -> None:
    """The tables of architectures and the excerpt of a built file match the code, and each spec has its figure."""
    done = run([str(ROOT / "docs" / "generate.py"), "--check"], ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    for spec in (ROOT / "specs").glob("*.yaml"):
        assert (ROOT / "docs" / "figures" / f"{spec.stem}.svg").exists(), f"{spec.name}: run python docs/generate.py"


# -- the language reference -----------------------------------------------------------------------------------------


def reference(section: str) -> str:
    """One section of docs/language.md."""
    text = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    return text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]


def settings() -> list[Any]:
    """Category, owner and settings class of every built-in kind, and of the keys that apply to a whole category."""
    registry = built_in()
    kinds = [
        pytest.param(category, name, registry.find(category, name), id=f"{category}-{name}")
        for category in (category for category in SECTIONS if category != "task")
        for name in registry.names(category)
    ]
    return kinds + [pytest.param(category, "all", cls, id=f"{category}-all") for category, cls in COMMON.items()]


@pytest.mark.parametrize(("category", "kind", "cls"), settings())
def test_the_reference_has_every_kind_and_setting(category: str, kind: str, cls: type[Settings]) -> None:
    """Each category's section in docs/language.md has every built-in kind and its settings, with defaults."""
    section = reference(SECTIONS[category])
    assert kind == "all" or f"`{kind}`" in section or f": {kind}" in section
    for name, field in cls.model_fields.items():
        key = field.alias or name
        assert f"`{key}`" in section, f"{key} is missing"
        default = field.get_default(call_default_factory=True)
        if default is PydanticUndefined or default is None or default == ():
            continue
        written = str(default).lower() if isinstance(default, bool) else str(default)
        written = str(list(default)) if isinstance(default, tuple) else written
        assert f"`{written}`" in section, f"{key}: the default {written} is missing"


def test_the_reference_has_every_section() -> None:
    """docs/language.md describes every section of a spec."""
    from archspec.spec.sections import SECTIONS as KEYS

    table = reference("Sections")
    assert [key for key in KEYS if f"| `{key}` |" not in table] == []
