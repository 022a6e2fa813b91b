"""Reading: every text becomes a tree with locations, or a clear sentence about the error."""

from __future__ import annotations

import io
import math
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archspec.diagnostics import CODES, Diagnostics, SpecError
from archspec.spec.source import MAX_BYTES, Mapping, Scalar, Sequence, parse, read, span_at, to_data

if TYPE_CHECKING:
    from pathlib import Path


def refusal(text: str) -> SpecError:
    """Return the error for a text."""
    with pytest.raises(SpecError) as caught:
        parse(text, "f.yaml")
    return caught.value


def place(text: str) -> tuple[str, int, int]:
    """Return the code and the location of the first error."""
    first = next(item for item in refusal(text).diagnostics if item.severity == "error")
    assert first.span is not None
    return first.code, first.span.line, first.span.column


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), (".5", 0.5), ("1.", 1.0), ("0x1F", 31), ("0o17", 15), ("-7", -7), ("+7", 7), ("007", 7),
        (".inf", math.inf), ("-.INF", -math.inf), ("true", True), ("True", True), ("FALSE", False),
        ("null", None), ("~", None), ("", None), ("no", "no"), ("on", "on"), ("yes", "yes"), ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"), ("1_000", "1_000"), ("0b1", "0b1"), ("ctr.0", "ctr.0"), ("tRUE", "tRUE"),
        ('"1"', "1"), ("'true'", "true"), ("-0x1F", "-0x1F"), ("=", "="), ("\u0661", "\u0661"),
    ],
)  # fmt: skip
def test_plain_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    """A plain scalar has the value and the type of YAML 1.2's core schema, not of YAML 1.1."""
    node = parse(f"a: {text}", "f.yaml").get("a")
    assert isinstance(node, Scalar)
    assert (type(node.value), node.value) == (type(value), value)


def test_nan_is_a_number() -> None:
    """`.nan` is read as a float; refusing it is up to the schema."""
    node = parse("a: .NaN", "f.yaml").get("a")
    assert isinstance(node, Scalar)
    assert isinstance(node.value, float)
    assert math.isnan(node.value)


def test_every_value_knows_its_place() -> None:
    """Spans are exact for keys, scalars and collections, also after wide characters and a byte order mark."""
    text = '\ufeffé漢: {k: [x, "y"]}\r\nb:\r\n  - 1\r\n  - c: 2\r\n\r\nd: 3\r\n'
    root = parse(text, "f.yaml")
    spans = {
        "key": span_at(root, ["é漢"], key=True),
        "flow": span_at(root, ["é漢"]),
        "quoted": span_at(root, ["é漢", "k", 1]),
        "block": span_at(root, ["b"]),
        "inner": span_at(root, ["b", 1, "c"]),
        "last": span_at(root, ["d"], key=True),
    }
    assert {name: (s.line, s.column, s.end_line, s.end_column) for name, s in spans.items()} == {
        "key": (1, 1, 1, 3),
        "flow": (1, 5, 1, 18),
        "quoted": (1, 13, 1, 16),
        "block": (3, 3, 4, 9),
        "inner": (4, 8, 4, 9),
        "last": (6, 1, 6, 2),
    }


def test_span_at_stops_where_the_path_ends() -> None:
    """For a nonexistent path, the deepest existing part is returned."""
    root = parse("a: {b: 1}", "f.yaml")
    assert span_at(root, ["a", "x", "y"]) == span_at(root, ["a"])
    assert span_at(root, ["a", "x"], key=True) == span_at(root, ["a"], key=True)
    assert span_at(root, ["a", 0]) == span_at(root, ["a"])


def test_mapping_edits_keep_the_order() -> None:
    """`without` drops a key; `with_entry` replaces in place or appends; the original is unchanged."""
    root = parse("a: 1\nb: 2\nc: 3", "f.yaml")
    other = parse("b: 9\nd: 4", "f.yaml")
    b, d = other.entries
    assert to_data(root.without("b")) == {"a": 1, "c": 3}
    assert to_data(root.with_entry(b).with_entry(d)) == {"a": 1, "b": 9, "c": 3, "d": 4}
    assert root.keys() == ("a", "b", "c")
    assert "b" in root
    assert root.get("z") is None


def test_aliases_keep_their_way() -> None:
    """An aliased value, and those inside it, have the original's location, and their provenance names the alias."""
    root = parse("x: &u {units: [8]}\ny: *u\n", "f.yaml")
    assert to_data(root) == {"x": {"units": [8]}, "y": {"units": [8]}}
    y = root.get("y")
    assert isinstance(y, Mapping)
    units = y.get("units")
    assert isinstance(units, Sequence)
    assert units.items[0].span == span_at(root, ["x", "units", 0])
    assert [note.message for note in units.items[0].provenance] == ["used through the alias `*u`"]
    assert units.items[0].provenance[0].span is not None
    assert units.items[0].provenance[0].span.line == 2


def test_merge_keys_are_resolved_and_reported() -> None:
    """`<<` adds missing keys in place; the first source has priority; a note lists the added keys."""
    found = Diagnostics()
    text = 'x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz:\n  p: 0\n  <<: [*x, *y]\n  a: 9\nq: {"<<": 5}\n'
    root = parse(text, "f.yaml", found)
    z = root.get("z")
    assert isinstance(z, Mapping)
    assert list(to_data(z).items()) == [("p", 0), ("b", 1), ("c", 2), ("a", 9)]  # type: ignore[union-attr]
    assert to_data(root)["q"] == {"<<": 5}  # type: ignore[call-overload, index]
    assert [(item.code, item.severity, item.message) for item in found.items] == [
        ("AS040", "note", "merge key `<<` adds `b`, `c`")
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a:\n\tb: 1", ("AS021", 2, 1)),
        ("a:\n  b: 1\n \tc: 2", ("AS021", 3, 2)),
        ("a: @x", ("AS022", 1, 4)),
        ("a: `x`", ("AS022", 1, 4)),
        ("a: b: c", ("AS023", 1, 5)),
        ("a: 1\nfoo\nb: 2", ("AS023", 2, 1)),
        ("a: 'x\nb: 1", ("AS024", 1, 4)),
        ('a: "\\q"', ("AS025", 1, 5)),
        ('a: "\\ud800"', ("AS025", 1, 7)),
        ("a: [1, 2", ("AS026", 1, 4)),
        ("a: [1}", ("AS026", 1, 6)),
        ("a: {b: 1]", ("AS026", 1, 9)),
        ("a: ]", ("AS026", 1, 4)),
        ("  a: 1\nb: 2", ("AS027", 2, 1)),
        ("a: 1\n- b", ("AS027", 2, 1)),
        ("a: - b", ("AS027", 1, 4)),
        ("a: *", ("AS028", 1, 5)),
        ("%TAG ! x\n---\na: 1", ("AS029", 1, 1)),
        ("", ("AS030", 1, 1)),
        ("# nothing\n", ("AS030", 1, 1)),
        ("- a", ("AS031", 1, 1)),
        ("a:b", ("AS031", 1, 1)),
        ("a: 1\n---\nb: 2", ("AS032", 2, 1)),
        ("a: 1\nb: 2\na: 3", ("AS033", 3, 1)),
        ("1: a", ("AS034", 1, 1)),
        ("true: a", ("AS034", 1, 1)),
        ("? \n: a", ("AS034", 1, 2)),
        ("? [a]\n: 1", ("AS034", 1, 3)),
        ("a: !!python/object:os.system x", ("AS035", 1, 4)),
        ("a: !!str 1", ("AS035", 1, 4)),
        ("a: *b", ("AS036", 1, 4)),
        ("a: &a [*a]", ("AS037", 1, 8)),
        ("a: &a 1\nb: &a 2", ("AS038", 2, 4)),
        ("a: {<<: 1}", ("AS039", 1, 9)),
        ("a: " + "[" * 70 + "]" * 70, ("AS041", 1, 67)),
        ("a: " + "9" * 401, ("AS043", 1, 4)),
        ("a: \x1b[31m", ("AS044", 1, 4)),
        ("a: \u2028", ("AS044", 1, 4)),
        ("a: \ud800", ("AS044", 1, 4)),
    ],
)
def test_each_mistake_has_its_code_and_place(text: str, expected: tuple[str, int, int]) -> None:
    """A mistake is reported under its own code, at the character where the reader has to look."""
    assert expected[0] in CODES
    assert place(text) == expected


def test_words_of_the_parser_never_reach_the_reader() -> None:
    """A syntax error is reported in one of our sentences, without PyYAML's contexts and marks."""
    message = str(refusal("a: {b: [1, 2}\n"))
    assert "while parsing" not in message
    assert "unexpected `}` in a list" in message


def test_conflicts_show_both_places() -> None:
    """The error for a duplicate key names the line of the first one."""
    (error,) = refusal("a: 1\nb: 2\na: 3").diagnostics
    assert error.notes[0].span is not None
    assert error.notes[0].span.line == 1


def test_all_problems_of_the_tree_come_together() -> None:
    """All mistakes that leave the YAML readable are reported at once, in file order."""
    text = "a: 1\na: 2\n3: x\nb: !t y\nc: *nope\nd: [\n"
    assert [item.code for item in refusal(text).diagnostics] == ["AS033", "AS034", "AS035", "AS036", "AS026"]


def test_errors_without_end_are_cut_short() -> None:
    """After a hundred errors reading stops and says so, because explaining thousands would take minutes."""
    text = "".join(f"k{i}: &ab{i} 1\nj{i}: *ac{i}\n" for i in range(9000))
    assert refusal(text).diagnostics[-1].code == "AS045"


def test_aliases_count_as_what_they_stand_for() -> None:
    """A short text that expands a billionfold is refused immediately."""
    text = "a0: &a0 [1, 1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
    assert refusal(text).diagnostics[0].code == "AS042"


def test_aliases_count_as_deep_as_what_they_stand_for() -> None:
    """Nesting through aliases has the same limit as nesting in the text."""
    text = "a0: &a0 [1]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 70))
    assert refusal(text).diagnostics[0].code == "AS041"


def test_limits_are_where_they_are_said_to_be() -> None:
    """64 levels and 100,000 values are accepted, one more is not; keys, the top level and lists count."""
    assert "a" in parse("a: " + "[" * 63 + "]" * 63, "f.yaml")
    assert refusal("a: " + "[" * 64 + "]" * 64).diagnostics[0].code == "AS041"
    assert "a" in parse("a: [" + "1," * 99_997 + "]", "f.yaml")
    assert refusal("a: [" + "1," * 99_998 + "]").diagnostics[0].code == "AS042"
    assert refusal("#" * MAX_BYTES + "\na: 1").diagnostics[0].code == "AS004"


@pytest.mark.parametrize(
    "unit", ["[", "{", "- ", "? ", "{a: ", "a:\n ", "[[],", "&a ", "*a ", "!", "'", "%", "a: ", "\t"]
)
def test_repetition_neither_crashes_nor_hangs(unit: str) -> None:
    """200,000 brackets (or other characters) give an error at once; run separately, as a crash would end pytest."""
    code = (
        "import sys; from archspec.spec.source import parse; from archspec.diagnostics import SpecError\n"
        "text = ('a: ' + sys.argv[1] * 200_000)[:1 << 20]\n"
        "try: parse(text, 'f.yaml')\n"
        "except SpecError as error: print(error.diagnostics[0].code, str(error)[:0])"
    )
    done = subprocess.run([sys.executable, "-c", code, unit], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@given(st.text(alphabet=st.sampled_from(list("ab1:-?[]{},&*!|>'\"%@# \n\t\r<~.$\\x")), max_size=40))
@settings(max_examples=400, deadline=None)
def test_any_text_is_a_mapping_or_an_error(text: str) -> None:
    """For any text, parse returns a mapping or raises SpecError with known codes that can be printed."""
    try:
        assert isinstance(parse(text, "f.yaml"), Mapping)
    except SpecError as error:
        codes = {item.code for item in error.diagnostics}
        rendered = str(error)
    else:
        codes, rendered = {"AS040"}, "fine"
    assert codes
    assert codes <= set(CODES)
    assert rendered


def test_python_parser_serves_where_libyaml_is_missing() -> None:
    """Without libyaml the same text gives the same tree, and a syntax error still has its code and location."""
    code = (
        "import yaml; yaml.__with_libyaml__ = False\n"
        "from archspec.spec.source import parse, to_data; from archspec.spec import compose\n"
        "assert compose._LOADER is yaml.Loader\n"
        "print(to_data(parse('a: [1, x]', 'f')))\n"
        "try: parse('a: [1, 2', 'f')\n"
        "except ValueError as error: print(error.diagnostics[0].code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["{'a': [1, 'x']}", "AS026"]


def unreadable(path: str | Path) -> SpecError:
    """Return the error of reading a path."""
    with pytest.raises(SpecError) as caught:
        read(path)
    assert caught.value.status == 2
    return caught.value


def test_read_returns_the_text(tmp_path: Path) -> None:
    """The text of a file is returned with its line ends; `-` reads standard input, as bytes or text."""
    file = tmp_path / "a.yaml"
    file.write_bytes("é: 1\r\n".encode())
    assert read(file) == "é: 1\r\n"
    assert read("-", io.BytesIO(b"a: 1")) == "a: 1"
    assert read("-", io.StringIO("a: 2")) == "a: 2"


def test_missing_file_suggests_a_sibling(tmp_path: Path) -> None:
    """A mistyped name suggests the probably intended file; a missing folder is named."""
    (tmp_path / "shared_bottom.yaml").write_text("a: 1")
    (error,) = unreadable(tmp_path / "shared_botom.yaml").diagnostics
    assert (error.code, error.help) == ("AS001", f"did you mean `{tmp_path / 'shared_bottom.yaml'}`?")
    assert "no folder" in unreadable(tmp_path / "no" / "x.yaml").diagnostics[0].help


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    """Folders, pipes and devices are refused, because reading them would hang or never end."""
    os.mkfifo(tmp_path / "pipe")
    assert unreadable(tmp_path).diagnostics[0].code == "AS002"
    assert unreadable(tmp_path / "pipe").diagnostics[0].code == "AS002"
    assert unreadable("/dev/zero").diagnostics[0].code == "AS002"


def test_only_text_is_read(tmp_path: Path) -> None:
    """Binary files, UTF-16 and Latin-1 are refused; a wrong byte is reported at its location."""
    for data in (b"a\0b", b"\xff\xfea\0", b"x: 1\na: caf\xe9"):
        (tmp_path / "f").write_bytes(data)
        assert unreadable(tmp_path / "f").diagnostics[0].code == "AS003"
    span = unreadable(tmp_path / "f").diagnostics[0].span
    assert span is not None
    assert (span.line, span.column) == (2, 7)


def test_paths_that_cannot_be_are_refused(tmp_path: Path) -> None:
    """A path that is too long or contains a zero byte, and a file too large, raise an error, not a traceback."""
    (tmp_path / "big").write_bytes(b"#" * (MAX_BYTES + 1))
    assert unreadable(tmp_path / "big").diagnostics[0].code == "AS004"
    assert unreadable(tmp_path / ("x" * 300)).diagnostics[0].code == "AS005"
    assert unreadable("a\0b").diagnostics[0].code == "AS005"
