"""Pages of all diagnostic codes: what each means, a bad example, and the same repaired."""

from __future__ import annotations

import re
import tomllib
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final

from archspec.cli.explain import explained_codes
from archspec.diagnostics import CODES
from docs.site.staging import ROOT, write

if TYPE_CHECKING:
    from pathlib import Path

REPAIRS: Final = ROOT / "docs" / "repairs.toml"
ORPHAN: Final = "---\norphan: true\n---\n\n"
"""Keeps a page out of the sidebar, which every page repeats: with all codes in it, the build takes twice as long."""
_RANGE: Final = re.compile(r"# (AS\d{3})-(AS\d{3}): (.+)")


def write_pages(folder: Path) -> list[str]:
    """Writes a page for each code, one for each range of codes, and an index; returns the pages of the ranges."""
    explained, mended = explained_codes(), repairs()
    names = []
    index = [
        "# Diagnostic codes",
        "",
        "`archspec explain CODE` prints the same text. The meaning of a code never changes.",
    ]
    for first, last, title in ranges():
        name, own = f"{first}-{last}".lower(), [code for code in CODES if first <= code <= last]
        heading = f"{title[0].upper()}{title[1:]} ({first} to {last})"
        for code in own:
            text = page(code, *explained[code], mended.get(code))
            write(folder / "codes" / f"{code.lower()}.md", f"{ORPHAN}{text}\nMore codes: [{heading}]({name}.md)\n")
        table = ["| code | title |", "|---|---|", *(f"| [{code}]({code.lower()}.md) | {CODES[code]} |" for code in own)]
        write(folder / "codes" / f"{name}.md", "\n".join([f"# {heading}", "", *table, ""]))
        index += ["", f"## {heading}", "", *table]
        names.append(name)
    write(folder / "codes" / "index.md", "\n".join(index) + "\n")
    return names


def ranges() -> list[tuple[str, str, str]]:
    """First code, last code and title of each range, from the comments of archspec/diagnostics/codes.py."""
    text = (ROOT / "archspec" / "diagnostics" / "codes.py").read_text(encoding="utf-8")
    return [(match[1], match[2], match[3]) for match in _RANGE.finditer(text)]


def repairs() -> dict[str, tuple[str, str, str]]:
    """Code -> a spec that has it, what archspec prints, and the spec repaired."""
    found = {}
    for code, entry in tomllib.loads(REPAIRS.read_text(encoding="utf-8")).items():
        file = ROOT / "tests" / f"{entry['spec']}.yaml"
        bad = file.read_text(encoding="utf-8").partition("\n")[2]  # the first line says what is bad
        printed = file.with_suffix(".txt").read_text(encoding="utf-8")
        found[code] = (bad, _one_line_up(_of_code(printed, code)), bad.replace(entry["old"], entry["new"]))
    return found


def _of_code(printed: str, code: str) -> str:
    """The first finding of a code among those that were printed."""
    return next(part for part in re.split(r"\n\n(?=\w+\[)", printed) if f"[{code}]" in part).rstrip()


def _one_line_up(printed: str) -> str:
    """A finding of a spec without its first line: all line numbers one less."""

    def less(match: re.Match[str]) -> str:
        return f"{match[1]}{int(match[2]) - 1}{match[3]}"

    text = re.sub(r"(\.yaml:)(\d+)(:\d+)", less, printed)
    return re.sub(r"^( *)(\d+)( \|)", lambda m: f"{m[1]}{int(m[2]) - 1:>{len(m[2])}}{m[3]}", text, flags=re.MULTILINE)


def page(code: str, title: str, text: str, repair: tuple[str, str, str] | None) -> str:
    """The page of one code."""
    parts = [f"# {code}: {title}", re.sub(r"^(Example|Fix|Way out):", r"\n**\1:**", text, flags=re.MULTILINE)]
    if repair is not None:
        bad, printed, good = repair
        parts += ["## A spec that has it", _block("yaml", bad, ()), "archspec prints:", _block("text", printed, ())]
        parts += ["## The same spec, repaired", _block("yaml", good, _changed(bad, good))]
    return "\n\n".join(parts) + "\n"


def _block(language: str, text: str, lines: tuple[int, ...]) -> str:
    """A block of code with some lines marked."""
    marked = f":emphasize-lines: {','.join(map(str, lines))}\n" if lines else ""
    return f"````{{code-block}} {language}\n:force:\n{marked}\n{text.rstrip()}\n````"


def _changed(old: str, new: str) -> tuple[int, ...]:
    """The lines of the new text that are not in the old one, counted from 1."""
    blocks = SequenceMatcher(None, old.rstrip().splitlines(), new.rstrip().splitlines(), autojunk=False).get_opcodes()
    return tuple(line + 1 for tag, _, _, start, stop in blocks if tag != "equal" for line in range(start, stop))
