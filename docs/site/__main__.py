"""Builds the site: `python -m docs.site [FOLDER] [--quick]`, by default into build/site.

Any warning of Sphinx is an error. `--quick` leaves out the interactive pages but that of PLE.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import archspec
from docs.site import architectures, codes
from docs.site.staging import PAGES, ROOT, stage, write

SETTINGS: Final[dict[str, Any]] = {
    "project": "archspec",
    "copyright": "the authors of archspec, Apache-2.0",
    "version": archspec.__version__,
    "extensions": ["myst_parser"],
    "exclude_patterns": ["files", architectures.EXTRA],
    "myst_heading_anchors": 4,
    "html_theme": "furo",
    "html_title": f"archspec {archspec.__version__}",
    "html_copy_source": False,
    "html_show_sphinx": False,
    "html_static_path": ["static"],
    "html_extra_path": [architectures.EXTRA],
    "html_css_files": ["site.css"],
    "html_theme_options": {"sidebar_hide_name": False, "navigation_with_keys": True},
}

CHAPTERS: Final = {
    "Use": ["language", "looking", "drawing", "training", "after_training", "scaling", "emitted", "serving", "plugins"],
    "Look up": ["architectures/index", "codes/index", "api", "json", "results", "synthetic_protocol", "benchmarks"],
    "Work on it": ["contributing", "benchmarking", "changelog"],
}
"""The chapters of the sidebar; a page that none of them lists is added to the second."""

QUICK: Final = ("ple",)
"""The specs that have an interactive page with `--quick`."""

STYLE: Final = """\
img[src$=".svg"] { background: #ffffff; border-radius: 4px; box-sizing: border-box; max-width: 100%; padding: 8px; }
table { font-size: 0.85em; }
.gallery { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); }
.card { border: 1px solid var(--color-background-border); border-radius: 6px; font-size: 0.85em; }
.gallery .card { padding: 0.5rem 0.75rem; }
iframe.interactive { border: 1px solid var(--color-background-border); border-radius: 6px; height: 40rem; width: 100%; }
.card img { height: 12rem; object-fit: contain; width: 100%; }
"""


def write_sources(folder: Path, *, quick: bool) -> None:
    """Writes everything that Sphinx reads."""
    stage(folder)
    specs, ranges = architectures.write_pages(folder, QUICK if quick else None), codes.write_pages(folder)
    _append(folder / "architectures" / "index.md", _toctree("", specs))
    _append(folder / "codes" / "index.md", _toctree("", ranges))
    chapters = {title: list(pages) for title, pages in CHAPTERS.items()}
    listed = {page for pages in chapters.values() for page in pages} | {"index"}
    chapters["Look up"] += sorted({page.removesuffix(".md") for page in PAGES.values()} - listed)
    for title, pages in chapters.items():
        _append(folder / "index.md", _toctree(title, pages))
    write(folder / "static" / "site.css", STYLE)


def _append(page: Path, text: str) -> None:
    write(page, page.read_text(encoding="utf-8") + "\n" + text)


def _toctree(title: str, pages: list[str]) -> str:
    """Pages for the sidebar; where they are listed, nothing is shown."""
    caption = [f":caption: {title}"] * bool(title)
    return "\n".join(["```{toctree}", *caption, ":hidden:", "", *pages, "```", ""])


def build(target: Path, *, quick: bool = False) -> int:
    """Builds the site into a folder, which is replaced. Returns Sphinx's exit status."""
    from sphinx.application import Sphinx

    with tempfile.TemporaryDirectory() as folder:
        sources, made = Path(folder, "sources"), Path(folder, "made")
        write_sources(sources, quick=quick)
        app = Sphinx(
            sources, None, made, Path(folder, "doctrees"), "html", confoverrides=SETTINGS, status=None,
            warningiserror=True,
        )  # fmt: skip
        app.build(force_all=True)
        if app.statuscode == 0:
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(made, target)
    return app.statuscode


def main() -> int:
    """Builds the site into the folder that the command line names."""
    folders = [word for word in sys.argv[1:] if word != "--quick"]
    target = Path(folders[0]) if folders else ROOT / "build" / "site"
    status = build(target, quick="--quick" in sys.argv)
    if status == 0:
        sys.stdout.write(f"{target / 'index.html'}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
