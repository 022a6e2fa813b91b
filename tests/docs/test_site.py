"""The documentation site builds without a warning, its links work, and it needs no network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

from archspec.diagnostics import CODES, SpecError
from archspec.graph.load import load_graph
from archspec.plugins import load
from docs.site import codes, staging

ROOT = Path(__file__).resolve().parents[2]
REPAIRS = codes.repairs()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}
    words = [sys.executable, "-m", "docs.site", str(folder / "site"), "--quick"]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "site"


def pages(site: Path) -> dict[Path, str]:
    """Every page of the site."""
    return {path: path.read_text(encoding="utf-8") for path in sorted(site.rglob("*.html"))}


def test_every_spec_and_every_code_is_on_the_site(site: Path) -> None:
    """Each spec has a page with figure and sizes; each code has one, with a repaired spec if there is a bad example."""
    for spec in (ROOT / "specs").glob("*.yaml"):
        page = (site / "architectures" / f"{spec.stem}.html").read_text(encoding="utf-8")
        assert f"{spec.stem}.svg" in page
        assert "FLOPs per row" in page
    assert 'src="../interactive/ple.html"' in (site / "architectures" / "ple.html").read_text(encoding="utf-8")
    assert "<svg" in (site / "interactive" / "ple.html").read_text(encoding="utf-8")
    for code, title in CODES.items():
        page = (site / "codes" / f"{code.lower()}.html").read_text(encoding="utf-8")
        assert f"<h1>{code}: " in page
        assert (code in REPAIRS) == ("The same spec, repaired" in page), title
    assert "as204" in (site / "searchindex.js").read_text(encoding="utf-8")


def test_links_lead_somewhere(site: Path) -> None:
    """Every link inside the site leads to an existing file, and to an anchor that exists in it."""
    texts = pages(site)
    ids = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in texts.items()}
    wrong = []
    for path, text in texts.items():
        for address in map(unescape, re.findall(r'\b(?:href|src)="([^"]*)"', text)):
            if re.match(r"[a-z]+:", address):
                continue
            file, _, anchor = address.partition("#")
            goal = (path.parent / unquote(file)).resolve() if file.partition("?")[0] else path
            goal = Path(str(goal).partition("?")[0])
            if not goal.exists() or (
                anchor and goal in ids and unquote(anchor) not in ids[goal] | {"furo-main-content"}
            ):
                wrong.append((path.name, address))
    assert wrong == []


def test_the_site_needs_no_network(site: Path) -> None:
    """No page loads a script, a style sheet, a font or an image from another host."""
    for path, text in pages(site).items():
        loaded = re.findall(r'<(?:script|img|iframe)\b[^>]*\bsrc="([^"]+)"', text)
        loaded += re.findall(r'<link\b[^>]*rel="(?:stylesheet|preload|icon)"[^>]*href="([^"]+)"', text)
        assert [address for address in loaded if re.match(r"([a-z]+:)?//", address)] == [], path.name
    styles = "".join(path.read_text(encoding="utf-8") for path in (site / "_static").rglob("*.css"))
    assert re.findall(r"(?:url\(|@import )[\"']?(?:[a-z]+:)?//", styles) == []


@pytest.mark.parametrize("code", REPAIRS)
def test_a_repaired_spec_is_free_of_the_finding(code: str) -> None:
    """The bad example has the finding that its page describes; the repaired one has neither errors nor warnings."""
    bad, printed, good = REPAIRS[code]
    assert f"[{code}]" in printed
    assert bad != good
    try:
        before = load_graph(bad, None, load()).spec.diagnostics
    except SpecError as error:
        before = error.diagnostics
    assert code in {found.code for found in before}
    assert load_graph(good, None, load()).spec.diagnostics == ()


def test_the_ranges_hold_every_code() -> None:
    """The comments of codes.py list ranges of codes, and every code is in one of them."""
    found = [code for first, last, _ in codes.ranges() for code in CODES if first <= code <= last]
    assert found == list(CODES)


def test_line_numbers_follow_the_text_that_is_shown() -> None:
    """The page omits the first line of a bad spec, so the line numbers of the shown output are one lower."""
    bad, printed, _ = REPAIRS["AS204"]
    line = next(number for number, text in enumerate(bad.splitlines(), 1) if "sharde" in text)
    assert f".yaml:{line}:" in printed
    assert f"\n{line} |" in printed


def test_a_link_to_nothing_stops_the_build(tmp_path: Path) -> None:
    """A page that links to a file missing from the repository fails the build; links inside code are ignored."""
    with pytest.raises(FileNotFoundError, match=r"docs/absent\.md"):
        staging.linked("[this](absent.md)", "docs/language.md", "language.md", tmp_path)
    code = "```yaml\n[this](absent.md)\n```"
    assert staging.linked(code, "docs/language.md", "language.md", tmp_path) == code


@pytest.mark.parametrize(
    ("source", "target", "link", "found"),
    [
        ("docs/language.md", "language.md", "[a](training.md#b)", "[a](training.md#b)"),
        ("README.md", "index.md", "[a](docs/training.md)", "[a](training.md)"),
        ("README.md", "index.md", "[`ple`](specs/ple.yaml)", "[`ple`](architectures/ple.md)"),
        ("docs/architectures.md", "architectures/index.md", "[a](../plugins/star.py)", "[a](../files/plugins/star.py)"),
        ("docs/plugins.md", "plugins.md", "[`plugins/`](../plugins)", "`plugins/`"),
        ("docs/plugins.md", "plugins.md", "[a](https://arxiv.org/abs/1)", "[a](https://arxiv.org/abs/1)"),
    ],
)
def test_links_of_the_repository_become_links_of_the_site(
    source: str, target: str, link: str, found: str, tmp_path: Path
) -> None:
    """Links to pages, specs, other files and folders of the repository are rewritten to their place on the site."""
    assert staging.linked(link, source, target, tmp_path) == found
