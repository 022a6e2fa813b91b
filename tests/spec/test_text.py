"""Printing: YAML that looks handwritten and reads back as exactly the same data."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.spec.source import parse, to_data
from archspec.spec.text import dump

WORDS = [
    "no",
    "on",
    "null",
    "~",
    "true",
    "1",
    "1e-3",
    ".5",
    ".inf",
    ".nan",
    "0x1F",
    "12:30",
    "1_0",
    "<<",
    "",
    "=",
    "?",
    "...",
    "---",
    ":",
    "-",
    "$task",
    "${domain}_x",
    "ctr.0",
    "/x",
    "é",
    "漢",
    "😀",
]
BROKEN = [
    "- a",
    "a: b",
    "a #b",
    "#a",
    "a:",
    ":a",
    "{a",
    "a}",
    "[a",
    "a, b",
    "&a",
    "*a",
    "!a",
    "%a",
    "@a",
    "`a",
    "'a",
    '"a',
]
BLANKS = [
    "\\",
    " a",
    "a ",
    "a  b",
    "a\nb",
    "\ta",
    "a\r\n",
    "\x00",
    "\x7f",
    "\x85",
    "\xa0",
    "\u2028",
    "\ufeff",
    "\u202e",
    "\ufffe",
]
NASTY = st.sampled_from([*WORDS, *BROKEN, *BLANKS])
STRINGS = NASTY | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
SCALARS = STRINGS | st.integers() | st.floats() | st.booleans() | st.none()
DATA = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(STRINGS, inner, max_size=4), max_leaves=25
)

PLE = """\
archspec: 1
name: ple
about: Progressive Layered Extraction (Tang et al., RecSys 2020)

inputs:
  x: {kind: dense, dim: 100}

tasks:
  like: {kind: binary}
  click: {kind: binary}

levels:
  - repeat: 2
    experts:
      $task: {count: 2, units: [64, 32, 16]}
      shared: {count: 2, units: [64, 32, 16]}
    gates:
      $task: {sees: [$task, shared], units: [16, 8]}
      shared: {sees: all, units: [16, 8]}

towers:
  $task: {units: [32, 16]}
"""


def read_back(text: str) -> object:
    """Return the data of a YAML text."""
    return to_data(parse(text, "f.yaml"))


@given(st.dictionaries(STRINGS, DATA, max_size=5))
@settings(max_examples=500, deadline=None)
def test_reads_back_as_the_same_data(data: dict[str, object]) -> None:
    """parse(dump(x)) is x, types included: strings that look like numbers stay strings, 1.0 stays a float."""
    assert repr(read_back(dump(data))) == repr(data)


def test_a_spec_prints_as_it_is_written() -> None:
    """The PLE example is printed as in the design paper: sections in block form, settings in flow form."""
    data = read_back(PLE)
    assert isinstance(data, dict)
    assert dump(data) == PLE


def test_levels_stay_in_block_form() -> None:
    """`levels`, its experts and its gates are on separate lines even if they would fit on one."""
    assert dump({"levels": [{"experts": {"a": {"units": [8]}}}, {"gates": {"a": {"sees": "all"}}}]}) == (
        "levels:\n  - experts:\n      a: {units: [8]}\n  - gates:\n      a: {sees: all}\n"
    )


def test_flow_form_has_limits() -> None:
    """Flow form is limited to 110 columns and two nested collections."""
    fits = {"s": {"a": {"k": "x" * 100}}}
    assert dump(fits) == "s:\n  a: {k: " + "x" * 100 + "}\n"
    assert max(map(len, dump(fits).splitlines())) == 110
    assert dump({"s": {"a": {"k": "x" * 101}}}) == "s:\n  a:\n    k: " + "x" * 101 + "\n"
    assert dump({"s": {"a": {"b": {"c": [1]}}}}) == "s:\n  a:\n    b: {c: [1]}\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("no", "no"), ("12:30", "12:30"), ("null", '"null"'), ("1e-3", '"1e-3"'), ("", '""'), ("a: b", '"a: b"'),
        ("a\nb", r'"a\nb"'), ("\x1b", r'"\u001b"'), ("😀", "😀"), ("${d}_x", "${d}_x"), ("<<", '"<<"'),
        ("a, b", "a, b"),
        (None, "null"), (True, "true"), (1.0, "1.0"), (1e-5, "1e-05"), (-math.inf, "-.inf"), (math.nan, ".nan"),
        ([], "[]"), ({}, "{}"), ('say "x"', 'say "x"'), ("\\", r'"\\"'),
    ],
)  # fmt: skip
def test_values_are_quoted_only_where_needed(value: object, text: str) -> None:
    """Values are printed without quotes unless YAML would read them as something else."""
    assert dump({"k": value}) == f"k: {text}\n"


def test_strings_in_flow_form_are_quoted_for_it() -> None:
    """Strings that need no quotes in block form are quoted where brackets and commas matter."""
    assert dump({"s": {"a": ["x, y", "${d}_x", "$task", "12:30"]}}) == 's:\n  a: ["x, y", "${d}_x", $task, "12:30"]\n'


def test_keys_longer_than_yaml_allows_read_back() -> None:
    """A key of more than 1024 characters is written with `?`, also inside a list."""
    data = {"k" * 3000: {"\n" * 1500: [{"x" * 1100: {"a": [[[1]]]}}]}}
    assert read_back(dump(data)) == data


@pytest.mark.parametrize(
    "data", [{"a": object()}, {"a": {1, 2}}, {"a": [{"b": b"x"}]}, {"a": {1: 2}}, {"a": {"b": {None: 1}}}]
)
def test_other_data_is_refused(data: dict[str, object]) -> None:
    """Anything but plain data raises TypeError instead of writing a wrong file."""
    with pytest.raises(TypeError):
        dump(data)


def test_half_a_surrogate_pair_is_refused() -> None:
    """A string that cannot be encoded as UTF-8 raises ValueError."""
    with pytest.raises(ValueError, match="surrogate"):
        dump({"a": "\ud800"})
