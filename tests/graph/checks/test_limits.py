"""A spec that is too large is rejected with one sentence, before anything of its size is allocated."""

from __future__ import annotations

from pathlib import Path

import pytest

import archspec
from archspec.compiler.lower import lower
from archspec.contract import limits
from archspec.diagnostics import SpecError
from archspec.graph.load import graph_of
from tests.limited import limited

HUGE = 10**12


def spec(**sections: str) -> str:
    """A small spec, with the given sections replaced; `levels` replaces what the tower reads."""
    parts = {"inputs": "{x: {kind: dense, dim: 4}}", "tasks": "{click: {}}", "towers": "{click: {from: x}}"} | sections
    if "levels" in sections and "towers" not in sections:
        parts["towers"] = "{$task: {}}"
    return "archspec: 1\nname: big\n" + "".join(f"{key}: {value}\n" for key, value in parts.items())


def many(item: str, count: int) -> str:
    """An item repeated `count` times, with `#` replaced by its index, separated by commas."""
    return ", ".join(item.replace("#", str(index)) for index in range(count))


def refusal(text: str) -> list[str]:
    """The codes of the diagnostics of a spec that is loaded, checked and lowered."""
    with pytest.raises(SpecError) as caught:
        lower(graph_of(archspec.load(text)))
    assert all(len(item.message) < 1100 for item in caught.value.diagnostics)
    return [item.code for item in caught.value.diagnostics]


def level(group: str, gates: str = "{$task: {sees: all}}", more: str = "") -> str:
    """One level with one expert group."""
    return f"[{{{more}experts: {{e: {{units: [2], {group}}}}}, gates: {gates}}}]"


DOMAIN = f"{{x: {{kind: dense, dim: 2}}, d: {{kind: domain, values: [{many('v#', 1200)}]}}}}"
TEN_TASKS = "{" + many("t#: {}", 10) + "}"
CASES = {
    "count": (spec(levels=level(f"count: {HUGE}")), "AS109"),
    "count of 400 digits": (spec(levels=level(f"count: {'9' * 400}")), "AS109"),
    "repeat times count": (
        spec(tasks=TEN_TASKS, levels="[{repeat: 1000, experts: {$task: {units: [2], count: 100}}, "
             "gates: {$task: {sees: all}}}]"), "AS137",
    ),
    "experts that are like others": (
        spec(levels=f"[{{experts: {{e: {{units: [2], count: 9000}}, {many('l#: {like: e}', 9)}}}, gates: {{click: "
             "{sees: e.0}}}]"), "AS137",
    ),
    "repeat of a large level": (
        spec(levels=f"[{{repeat: 1000, experts: {{{many('e#: {units: [2]}', 60)}}}, gates: {{$task: {{sees: e0}}}}}}]"),
        "AS133",
    ),
    "values of a domain": (spec(inputs=DOMAIN.replace("[v0", f"[{many('w#', 40_000)}, v0")), "AS109"),
    "sizes of one block": (spec(towers=f"{{click: {{from: x, units: [{many('1', 20_000)}]}}}}"), "AS109"),
    "layers of all blocks": (spec(levels=level(f"count: 9000, units: [{many('2', 9)}]").replace("units: [2], ", "")),
                             "AS218"),
    "tasks": (spec(tasks=f"{{{many('t#: {}', 6000)}}}"), "AS137"),
    "losses": (spec(tasks=f"{{click: {{loss: [{many('logistic', 500)}]}}}}"), "AS109"),
    "gates that see all": (
        spec(tasks=f"{{{many('t#: {}', 600)}}}", levels="[{experts: {$task: {units: [2]}}, gates: {$task: "
             "{sees: all}}}]"),
        "AS219",
    ),
    "experts that read all": (
        spec(inputs=f"{{{many('i#: {kind: dense, dim: 1}', 600)}}}", levels=level("count: 600")), "AS219",
    ),
    "settings that read all": (
        spec(inputs=f"{{{many('i#: {kind: dense, dim: 1}', 600)}}}", towers="{click: {from: i0}, "
             f"{many('c#: {from: i0, units: [2], modulate: {selector: inputs}}', 600)}}}"), "AS219",
    ),
    "one name many times": (
        spec(inputs=f"{{{many('i#: {kind: dense, dim: 1}', 600)}}}",
             towers=f"{{click: {{from: [{many('inputs', 2000)}]}}}}"), "AS219",
    ),
    "table of a domain gate": (
        spec(inputs=DOMAIN, levels="[{experts: {$domain: {units: [2]}}, gates: {click: {sees: all, kind: domain, "
             "selector: d}}}]"), "AS220",
    ),
    "table of exclude": (
        spec(inputs=DOMAIN, levels="[{experts: {$domain: {units: [2]}, o: {units: [2]}}, gates: {click: {sees: all, "
             "exclude: d}}}]"), "AS220",
    ),
    "length": (spec(inputs=f"{{x: {{kind: sequence, vocab: 5, dim: 2, length: {HUGE}}}}}"), "AS109"),
    "vocab": (spec(inputs=f"{{x: {{kind: sparse, vocab: {HUGE}, dim: 1}}}}"), "AS221"),
    "vocab of 400 digits": (spec(inputs=f"{{x: {{kind: sparse, vocab: {'9' * 400}, dim: 1}}}}"), "AS109"),
    "dim": (spec(inputs=f"{{x: {{kind: dense, dim: {HUGE}}}}}"), "AS221"),
    "units": (spec(towers=f"{{click: {{from: x, units: [{HUGE}, {HUGE}]}}}}"), "AS221"),
    "classes": (spec(tasks=f"{{click: {{kind: multiclass, classes: {HUGE}}}}}"), "AS221"),
    "many tables": (spec(inputs=f"{{{many('i#: {kind: sparse, vocab: 100000000, dim: 64}', 50)}}}",
                         towers="{click: {from: inputs}}"), "AS221"),
    "a weight of 400 digits": (spec(tasks=f"{{click: {{weight: {'9' * 400}}}}}"), "AS109"),
    "a product of sets": (
        spec(sets=f"{{a: [{many('a#', 400)}], b: [{many('b#', 400)}]}}",
             towers='{click: {from: x}, "${a}_$b": {from: x}}'),
        "AS133",
    ),
    "a long text of variables": (
        spec(sets=f"{{a: [{'b' * 200}]}}", towers=f"{{click: {{from: x}}, $a: {{from: {'$a' * 100_000}}}}}"), "AS133",
    ),
    "a long text through aliases": (
        f"x-l: &l {'b' * 200_000}\n"
        + spec(inputs=f"{{x: {{kind: dense, dim: 4}}, {many('i#: {kind: dense, dim: 1, column: *l}', 500)}}}"), "AS042",
    ),
    "defaults for many blocks": (
        spec(defaults=f"{{towers: {{units: [{many('1', 30_000)}]}}}}",
             towers=f"{{click: {{from: x}}, {many('c#: {from: x}', 60)}}}"), "AS133",
    ),
    "a name": (spec(towers=f"{{click: {{from: x}}, ? {'a' * 5000} : {{from: x}}}}"), "AS105"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "code"), CASES.values(), ids=CASES.keys())
def test_what_is_too_large_is_refused(text: str, code: str) -> None:
    """Each number in a spec that can become large has a limit, or is part of a product that has one."""
    assert code in refusal(text)


QUADRATIC = {
    "unknown members of a group": spec(groups=f"{{g: [{many('y#', 20_000)}]}}"),
    "a group that repeats itself": spec(groups=f"{{g: [{many('x', 20_000)}]}}"),
    "unknown names that are read": spec(towers=f"{{click: {{from: [{many('y#', 20_000)}]}}}}"),
    "unknown expert groups": spec(levels=level("count: 2", f"{{click: {{sees: [{many('z#', 20_000)}]}}}}")),
    "unknown exceptions": spec(levels=level("count: 2", f"{{click: {{sees: {{except: [{many('z#', 20_000)}]}}}}}}")),
    "unknown keys": spec(towers=f"{{click: {{from: x, {many('k#: 1', 20_000)}}}}}"),
    "unknown sections": spec() + "".join(f"s{index}: 1\n" for index in range(20_000)),
    "unknown outputs": spec(fusion=f"{{f: {{kind: sum, of: [{many('c#', 20_000)}]}}}}"),
    "bad sizes": spec(towers=f"{{click: {{from: x, units: [{many('0', 900)}]}}}}"),
    "bad names": spec(towers=f"{{click: {{from: x}}, {many('C#: {from: x}', 9000)}}}"),
    "a mistake that is repeated": spec(
        tasks=TEN_TASKS, levels="[{repeat: 900, experts: {$task: {unitz: [2]}}, gates: {$task: {sees: al}}}]"
    ),
}


@pytest.mark.parametrize("text", QUADRATIC.values(), ids=QUADRATIC.keys())
def test_mistakes_without_end_are_cut_short(text: str) -> None:
    """Only a limited number of mistakes is reported, and AS045 says that there are more."""
    with pytest.raises(SpecError) as caught:
        archspec.load(text)
    assert "AS045" in {item.code for item in caught.value.diagnostics}
    assert len(caught.value.diagnostics) <= 102


def test_warnings_without_end_are_cut_short() -> None:
    """Of thousands of warnings with one code a hundred are kept, and one more says that others are not shown."""
    loaded = archspec.load(spec(towers=f"{{click: {{from: x}}, {many('c#: {from: x}', 500)}}}"))
    assert len(loaded.diagnostics) == 101
    assert "the others are not shown" in loaded.diagnostics[-1].message


def test_a_cycle_of_thousands_names_some() -> None:
    """For a long cycle only the first blocks are shown."""
    with pytest.raises(SpecError) as caught:
        archspec.load(spec(towers="{click: {from: x}, c0: {from: towers.c999}, "
                      + ", ".join(f"c{i}: {{from: towers.c{i - 1}}}" for i in range(1, 1000)) + "}"))  # fmt: skip
    (item,) = caught.value.diagnostics
    assert item.code == "AS208"
    assert "... ->" in item.message
    assert len(item.notes) < 15


def test_large_weights_are_told() -> None:
    """From 64 GB on, a warning says how much memory the weights need, at the setting that causes it."""
    (item,) = lower(graph_of(archspec.load(spec(inputs="{x: {kind: sparse, vocab: 10000000000, dim: 2}}")))).findings
    assert (item.code, item.severity) == ("AS310", "warning")
    assert "80 GB" in item.message
    assert item.span is not None
    assert item.span.line == 3
    assert lower(graph_of(archspec.load(spec(inputs="{x: {kind: sparse, vocab: 100000000, dim: 2}}")))).findings == ()


def test_compile_refuses_what_validate_refuses() -> None:
    """No weight is allocated before the sizes of all weights are checked."""
    with pytest.raises(SpecError) as caught:
        archspec.compile(spec(inputs=f"{{x: {{kind: sparse, vocab: {HUGE}, dim: 1}}}}"))
    assert [item.code for item in caught.value.diagnostics] == ["AS221"]


def test_a_path_of_overrides_is_short() -> None:
    """`--set a.a.a...` with thousands of steps is rejected and not followed."""
    with pytest.raises(SpecError) as caught:
        archspec.load(spec(), overrides=[f"{'.'.join(['a'] * 5000)}=1"])
    assert [item.code for item in caught.value.diagnostics] == ["AS136"]


@pytest.mark.parametrize("name", [name for name in vars(limits) if name.isupper()])
def test_the_language_page_says_each_limit(name: str) -> None:
    """docs/language.md lists the limits with the numbers used in the code."""
    page = (Path(__file__).parents[3] / "docs" / "language.md").read_text(encoding="utf-8")
    section = page.partition("\n## Limits\n")[2].partition("\n## ")[0]
    said = {"MOST_BYTES": "1 TB", "MANY_BYTES": "64 GB"}.get(name, f"{getattr(limits, name):,}")
    assert said in section


def chained(count: int) -> str:
    """A spec with a chain of towers, each of which reads the previous one and belongs to a task."""
    return spec(
        tasks=f"{{{many('t#: {}', count)}}}",
        towers="{t0: {from: x}, " + ", ".join(f"t{i}: {{from: [x, towers.t{i - 1}]}}" for i in range(1, count)) + "}",
    )


WIDE = {
    "inputs that one tower reads": spec(
        inputs=f"{{{many('i#: {kind: dense, dim: 1}', 9000)}}}", towers="{click: {from: inputs}}"
    ),
    "inputs that share a table": spec(
        inputs=f"{{x: {{kind: sparse, vocab: 5, dim: 2}}, {many('i#: {kind: sparse, table: x}', 6000)}}}",
        towers="{click: {from: inputs}}",
    ),
    "members of a group": spec(
        inputs=f"{{{many('i#: {kind: dense, dim: 1}', 6000)}}}", groups=f"{{g: [{many('i#', 6000)}]}}",
        towers="{click: {from: g}}",
    ),
    "exceptions": spec(
        levels=f"[{{experts: {{{many('e#: {units: [2]}', 6000)}}}, gates: {{click: {{sees: {{except: "
        f"[{many('e#', 5999)}]}}}}}}}}]"
    ),
    "towers in a row": chained(2000),
    "levels": spec(levels=f"[{many('{experts: {click: {units: [2]}}, gates: {click: {sees: all}}}', 1000)}]"),
    "values of a domain": spec(
        inputs=f"{{x: {{kind: dense, dim: 2}}, d: {{kind: domain, values: [{many('v#', 9000)}]}}}}",
        towers="{click: {switch: d, cases: {$domain: {from: x}}}}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", WIDE.values(), ids=WIDE.keys())
def test_large_specs_are_read_in_their_time(text: str) -> None:
    """The time to load a spec within the limits grows linearly with its text, not quadratically."""
    with limited():
        assert archspec.load(text).name == "big"
