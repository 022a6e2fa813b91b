"""Variables: keys that define several blocks, and values that follow them."""

from __future__ import annotations

from archspec.diagnostics import Diagnostics
from archspec.spec.expand import expand
from archspec.spec.source import parse
from archspec.spec.tree import to_data

TASKS = "tasks: {ctr: {}, cvr: {}}\n"


def expanded(text: str, *codes: str) -> object:
    """The expanded data; exactly these errors are reported."""
    diagnostics = Diagnostics()
    tree = expand(parse(text, "x.yaml"), diagnostics)
    assert [item.code for item in diagnostics.items] == list(codes)
    return to_data(tree)


def test_keys_and_values_take_the_same_value() -> None:
    """A key with a variable becomes one entry per value; keys and values inside are substituted accordingly."""
    assert expanded(TASKS + "towers:\n  my_$task: {from: ['${task}_x', $task]}") == {
        "tasks": {"ctr": {}, "cvr": {}},
        "towers": {"my_ctr": {"from": ["ctr_x", "ctr"]}, "my_cvr": {"from": ["cvr_x", "cvr"]}},
    }


def test_two_variables_give_the_product() -> None:
    """A key with two variables expands to their product; sets define further variables."""
    text = "sets: {a: [x, y], b: [u, v]}\ninputs:\n  ${a}_$b: {column: $b}"
    assert expanded(text)["inputs"] == {  # type: ignore[index]
        "x_u": {"column": "u"}, "x_v": {"column": "v"}, "y_u": {"column": "u"}, "y_v": {"column": "v"},
    }  # fmt: skip


def test_an_explicit_key_wins() -> None:
    """An explicit key overrides the one from a variable, wherever it is written."""
    for text in ("ctr: {units: 1}\n  $task: {units: 2}", "$task: {units: 2}\n  ctr: {units: 1}"):
        assert expanded(f"{TASKS}towers:\n  {text}")["towers"] == {"ctr": {"units": 1}, "cvr": {"units": 2}}  # type: ignore[index]


def test_domain_takes_the_values_of_the_domain_input() -> None:
    """`$domain` needs exactly one domain input, whose kind may come from `defaults`."""
    text = "defaults: {inputs: {kind: domain}}\ninputs: {scene: {values: [home, feed]}}\ntowers: {$domain: {}}"
    assert expanded(text)["towers"] == {"home": {}, "feed": {}}  # type: ignore[index]


def test_dollar_signs_and_notes() -> None:
    """`$$` is a literal dollar sign; `about` is never expanded; `x-` keys are free for the user."""
    text = "about: costs $task\nx-note: $any\ninputs: {x: {column: a$$b, x-unit: $any}}"
    assert expanded(text) == {"about": "costs $task", "inputs": {"x": {"column": "a$b"}}}


def test_misspelt_variables_are_read_as_they_were_meant() -> None:
    """The nearest variable is suggested and used, so no further errors follow."""
    text = TASKS + "towers:\n  $taks: {from: $taks}"
    assert expanded(text, "AS130")["towers"] == {"ctr": {"from": "ctr"}, "cvr": {"from": "cvr"}}  # type: ignore[index]
    text = TASKS + "towers:\n  $task: {from: $tsak}"
    assert expanded(text, "AS131", "AS131")["towers"]["cvr"] == {"from": "cvr"}  # type: ignore[index]


def test_values_know_their_expansion() -> None:
    """A value records through which variable and level copy it was created; its location is the line to edit."""
    text = TASKS + "levels:\n  - repeat: 2\n    experts:\n      $task: {units: [8]}"
    tree = expand(parse(text, "x.yaml"), Diagnostics())
    levels = tree.get("levels")
    second = levels.items[1].get("experts").get("cvr").get("units")  # type: ignore[union-attr]
    assert second is not None
    assert [note.message for note in second.provenance] == [
        "expanded from `$task` with `task` = `cvr`",
        "repeat 2 of 2",
    ]
    assert (second.span.line, second.span.column) == (5, 22)
