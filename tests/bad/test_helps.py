"""Every help that proposes text is applied literally: the next run neither repeats the error nor has more errors."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from archspec.diagnostics import Diagnostic, SpecError
from archspec.graph.load import load

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
SPECS = sorted(path.stem for path in HERE.glob("*.yaml"))
IN_BACKTICKS = re.compile(r"`([^`]+)`")


class Edit(NamedTuple):
    """An edit that a help proposes: a part of the text, and its replacement."""

    start: int
    stop: int
    text: str


def found_in(text: str, folder: Path) -> list[Diagnostic]:
    """All findings of a text, which is written to a file in the folder."""
    path = folder / "helped.yaml"
    path.write_text(text)
    try:
        return list(load(path).diagnostics)
    except SpecError as error:
        return list(error.diagnostics)
    finally:
        path.unlink()


def edits(item: Diagnostic, text: str) -> Iterator[Edit]:
    """The edits that the help of a finding proposes, as a person would read it; none if the help leaves a choice."""
    if item.span is None or not item.span.file.endswith("helped.yaml"):
        return
    start, stop = offset(text, item.span.line, item.span.column), offset(text, item.span.end_line, item.span.end_column)
    proposed = IN_BACKTICKS.findall(item.help)
    if item.help.startswith("did you mean `"):
        quote = text[start] if text[start] in "\"'" else ""
        old = text[start:stop].strip("\"'")
        named = [name.strip("\"'$*") for name in IN_BACKTICKS.findall(item.message)]
        inside = max((name for name in named if re.search(rf"\b{re.escape(name)}\b", old)), key=len, default=old)
        meant = re.sub(rf"\b{re.escape(inside)}\b", lambda _: proposed[0].lstrip("$*"), old, count=1)
        yield Edit(start, stop, f"{quote}{meant if meant != old else proposed[0]}{quote}")
    elif re.fullmatch(r"write (it in quotes: )?`[^`]*`(,(?! and below).*)?", item.help) and "..." not in item.help:
        yield written(text, start, stop, proposed[0])
    elif match := re.fullmatch(r"drop (`\w+`)( and `\w+`)?(, or .*)?", item.help):
        for name in IN_BACKTICKS.findall(match[1] + (match[2] or "")):
            where = re.search(rf"\b{name}\s*:", text[line_start(text, start) :])
            if where:
                begin = line_start(text, start) + where.start()
                end = value_end(text, begin)
                end += len(re.match(r",? *", text[end:])[0])  # type: ignore[index] # the pattern fits anything
                yield Edit(begin, end, "")


def written(text: str, start: int, stop: int, proposed: str) -> Edit:
    """`key: value` replaces that key in its block or is inserted as its first key; other text replaces the place."""
    key, colon, _ = proposed.partition(": ")
    if not colon:
        return Edit(start, stop, proposed)
    line = line_start(text, start)
    end = text.find("\n", line) if "\n" in text[line:] else len(text)
    keys = [line + match.start() for match in re.finditer(rf"(?<![\w-]){re.escape(key)}\s*:", text[line:end])]
    if keys:
        place = max([place for place in keys if place <= start] or keys)
        return Edit(place, max(value_end(text, place), stop), proposed)
    if "{" in text[line:start]:
        opening = text.rindex("{", line, start) + 1
        return Edit(opening, opening, f"{proposed}, ")
    return Edit(start, stop, proposed)


def offset(text: str, line: int, column: int) -> int:
    """The index in the text that a place refers to."""
    return sum(len(each) + 1 for each in text.split("\n")[: line - 1]) + column - 1


def line_start(text: str, index: int) -> int:
    """The index where the line begins."""
    return text.rfind("\n", 0, index) + 1


def value_end(text: str, start: int) -> int:
    """The index where the value of a key ends: at the closing comma or bracket, or at the end of the line."""
    depth = 0
    for index in range(text.index(":", start), len(text)):
        depth += (text[index] in "[{") - (text[index] in "]}")
        if depth < 0 or (depth == 0 and text[index] in ",\n"):
            return index
    return len(text)


def applied(text: str, changes: list[Edit]) -> str:
    """The text after the edits, applied from the last place to the first."""
    for change in sorted(changes, reverse=True):
        text = text[: change.start] + change.text + text[change.stop :]
    return text


def errors(items: list[Diagnostic]) -> list[Diagnostic]:
    """The errors among findings."""
    return [item for item in items if item.severity == "error"]


def check(text: str, folder: Path) -> int:
    """Applies each help of a text separately, and returns the number of helps."""
    before = errors(found_in(text, folder))
    count = 0
    for item in before:
        changes = list(edits(item, text))
        if not changes:
            continue
        count += 1
        helped = applied(text, changes)
        assert helped != text, item
        after = errors(found_in(helped, folder))
        assert item.message not in [other.message for other in after], (item.help, helped)
        assert item.help not in [other.help for other in after], (item.help, helped)
        assert len(after) <= len(before), (item.help, helped, after)
    return count


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files that the bad specs extend."""
    (tmp_path / "parts").symlink_to(HERE / "parts")
    for path in HERE.glob("*.yaml"):
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


@pytest.mark.parametrize("name", SPECS)
def test_helps_of_the_bad_specs_lead_on(name: str, folder: Path) -> None:
    """Following the help of a bad spec in this folder changes its errors and does not add any."""
    check((HERE / f"{name}.yaml").read_text(), folder)


def test_most_helps_are_tried(folder: Path) -> None:
    """The test above really applies a good part of the helps, and does not skip them."""
    texts = [(HERE / f"{name}.yaml").read_text() for name in SPECS]
    proposals = [edit for text in texts for item in errors(found_in(text, folder)) for edit in edits(item, text)]
    assert len(proposals) > 90


HEAD = "archspec: 1\nname: t\n"
X = "inputs: {x: {kind: dense, dim: 4}}\ntasks: {a: {}}\n"
A = "tasks: {a: {}}\ntowers: {a: {}}"
SLIPS = {
    "a list in braces": f"{X}towers: {{a: {{units: 32, 16, 8, norm: layer}}}}",
    "a list as text": f"{X}towers:\n  a:\n    units: 32, 16",
    "a list with crosses": f"{X}towers: {{a: {{units: 64x32}}}}",
    "all in capitals": f"{X}levels: [{{experts: {{e: {{units: [2]}}}}, gates: {{a: {{sees: ALL}}}}}}]\n"
    "towers: {a: {}}",
    "layers": f"{X}layers: [{{experts: {{e: {{units: [2]}}}}, gates: {{a: {{sees: all}}}}}}]\ntowers: {{a: {{}}}}",
    "hidden_units": f"{X}towers: {{a: {{hidden_units: [4]}}}}",
    "num_experts": f"{X}levels: [{{experts: {{e: {{units: [2], num_experts: 3}}}}, gates: {{a: {{sees: all}}}}}}]\n"
    "towers: {a: {}}",
    "a power of ten": f"inputs: {{x: {{kind: sparse, vocab: 5e3, dim: 4}}}}\n{A}",
    "a product": f"inputs: {{x: {{kind: sparse, vocab: 2*32, dim: 4}}}}\n{A}",
    "a product in a list": f"{X}towers: {{a: {{units: [2*32]}}}}",
    "thousands": f"inputs: {{x: {{kind: sparse, vocab: 10k, dim: 4}}}}\n{A}",
    "groups of digits": f"inputs: {{x: {{kind: sparse, vocab: 1_000, dim: 4}}}}\n{A}",
    "a percentage": f"{X}towers: {{a: {{dropout: 50%, units: [2]}}}}",
    "a decimal comma": f"{X}towers: {{a: {{dropout: '0,5', units: [2]}}}}",
    "a label that is a number": "inputs: {x: {kind: dense, dim: 4}}\ntasks: {a: {label: 2020}}\ntowers: {a: {}}",
    "a switch that says on": f"{X}towers: {{a: {{bias: on}}}}",
    "a kind of another library": f"inputs: {{x: {{kind: embedding, vocab: 4, dim: 4}}}}\n{A}",
    "a loss of another library": "inputs: {x: {kind: dense, dim: 4}}\ntasks: {a: {loss: bce}}\ntowers: {a: {}}",
    "a missing blank": f"inputs: {{x: {{kind:dense, dim: 4}}}}\n{A}",
    "a misspelt variable": f"{X}towers: {{$task: {{from: $tsk}}}}",
}


@pytest.mark.parametrize("text", SLIPS.values(), ids=SLIPS.keys())
def test_helps_of_usual_slips_lead_on(text: str, folder: Path) -> None:
    """Mistakes that users of other tools often make get a help that works."""
    assert check(HEAD + text, folder)


SEES = "levels: [{experts: {e: {units: [2]}}, gates: {a: {sees: e, selector: a}}}]"
READS = "levels: [{experts: {e: {units: [2], from: a}}, gates: {a: {sees: e}}}]"
BELOW = "levels: [{experts: {e: {units: [2], from: b}}, gates: {a: {sees: e}}}]"
OPEN = {
    "a gate that sees itself": (f"{SEES}\ntowers: {{a: {{}}}}", "level1.gates.a"),
    "an expert that reads the gate above": (f"{READS}\ntowers: {{a: {{}}}}", "level1.gates.a"),
    "a tower that reads itself": ("towers: {a: {from: a}}", "towers.a"),
    "an expert that reads a tower": (f"{BELOW}\ntowers: {{a: {{}}, b: {{from: a}}}}", "towers.b"),
}


@pytest.mark.parametrize(("text", "cyclic"), OPEN.values(), ids=OPEN.keys())
def test_no_help_leads_into_a_cycle(text: str, cyclic: str, folder: Path) -> None:
    """A name that would be legal elsewhere is not proposed where reading it would form a cycle."""
    (item,) = errors(found_in(f"{HEAD}inputs: {{x: {{kind: dense, dim: 4}}}}\ntasks: {{a: {{}}}}\n{text}", folder))
    assert item.code == "AS201"
    assert f"`{cyclic}`" not in item.help


def test_a_renamed_task_is_one_error(folder: Path) -> None:
    """The tower that kept the old name of a task is named, and following the help leaves no error."""
    text = (
        f"{HEAD}inputs: {{x: {{kind: dense, dim: 4}}}}\ntasks: {{purchase: {{}}, click: {{}}}}\n"
        "levels: [{experts: {e: {units: [2]}}, gates: {$task: {sees: all}}}]\ntowers: {buy: {}, click: {}}\n"
    )
    (item,) = errors(found_in(text, folder))
    assert item.code == "AS207"
    assert "tower `buy` to `purchase`" in item.help
    assert errors(found_in(text.replace("buy", "purchase"), folder)) == []


def test_a_column_is_no_switch(folder: Path) -> None:
    """The message for `when: true` says that `when` takes a name, and does not suggest `true` in quotes."""
    (item,) = errors(found_in(f"{HEAD}inputs: {{x: {{kind: dense, dim: 4}}}}\ntasks: {{a: {{when: true}}}}\n"
                              "towers: {a: {}}", folder))  # fmt: skip
    assert item.help == "`when` takes a name"


@pytest.mark.parametrize(
    ("towers", "said"),
    [("{a: {from: level1.experts.e}, b: {from: level1.experts.f}}", "such as `b`"),
     ("{a: {from: [level1.experts.e, {detach: level1.experts.f}]}}", "without `detach`")],
)  # fmt: skip
def test_why_nothing_trains_an_expert(towers: str, said: str, folder: Path) -> None:
    """The help names `detach` where `detach` is written; otherwise it names the output that has no task."""
    text = f"{HEAD}{X}levels: [{{experts: {{e: {{units: [2]}}, f: {{units: [2]}}}}}}]\ntowers: {towers}"
    (item,) = [item for item in found_in(text, folder) if item.code == "AS305"]
    assert said in item.help
