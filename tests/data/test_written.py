"""Encodings in a file: what it may contain, and how mistakes are reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archspec import plugins
from archspec.data.choices import Requests
from archspec.data.requirements import column_requirements
from archspec.data.written import written_requests
from archspec.diagnostics import SpecError
from archspec.graph.load import load_graph

if TYPE_CHECKING:
    from pathlib import Path

    from archspec.data.requirements import ColumnRequirement

SPEC = """
archspec: 1
name: written
inputs:
  city: {kind: sparse, vocab: 6, dim: 2}
  item: {kind: sparse, vocab: 50, dim: 2}
  clicks: {kind: sequence, table: item, length: 3}
  tags: {kind: sequence, vocab: 9, dim: 2, length: 3}
  price: {kind: dense, dim: 1}
  age: {kind: dense, dim: 1}
tasks: {click: {}}
towers: {click: {units: [2]}}
"""
TEXT = """\
# how our columns are read
"*": {min_count: 3}
city: {encode: vocabulary, missing: [NA, -1, "-"], min_count: 5}
item: hash
clicks: hash
tags: {separator: tab, padding: 0}
price: log1p
age: {column: published, encode: "age:shown"}
click: "classes:no,yes"
"""


@pytest.fixture(scope="module")
def requirements() -> dict[str, ColumnRequirement]:
    """The columns that the spec requires."""
    return column_requirements(load_graph(SPEC, None, plugins.load([])))


def written(folder: Path, text: str, requirements: dict[str, ColumnRequirement]) -> Requests:
    """The requests that are read from a file with this text."""
    path = folder / "encodings.yaml"
    path.write_text(text, encoding="utf-8")
    return written_requests(path, requirements)


def test_everything_that_a_file_may_say(tmp_path: Path, requirements: dict[str, ColumnRequirement]) -> None:
    """Each line is a column; a bare name is an encoding; numbers are read as their texts."""
    assert written(tmp_path, TEXT, requirements) == Requests(
        choices={
            "city": "vocabulary", "item": "hash", "clicks": "hash", "price": "log1p", "age": "age:shown",
            "click": "classes:no,yes",
        },
        padding={"tags": "0"}, separators={"tags": "\t"}, min_counts={"*": 3, "city": 5},
        columns={"age": "published"}, missing={"city": ("NA", "-1", "-")},
    )  # fmt: skip
    for text in ("", "# nothing yet\n"):
        assert written(tmp_path, text, requirements) == Requests()


@pytest.mark.parametrize(
    ("text", "code", "place", "said", "way_out"),
    [
        ("citi: hash", "AS705", (1, 1), "the spec reads no column `citi`", "did you mean `city`?"),
        ("city: hsah", "AS705", (1, 7), "cannot be encoded as `hsah`", "did you mean `hash`?"),
        ("city: {encode: log1p}", "AS705", (1, 16), "column `city` cannot be encoded as `log1p`", "takes ids"),
        ("city: {encod: hash}", "AS108", (1, 8), "unknown key `encod` in column `city`", "did you mean `encode`?"),
        ("city: {min_count: 0}", "AS109", (1, 19), "`min_count` of column `city` must be at least 1", ""),
        ("city: {min_count: many}", "AS109", (1, 19), "must be a whole number", ""),
        ("city: [hash]", "AS109", (1, 7), "column `city` must be an encoding or a mapping", "`city: vocabulary`"),
        ("city:", "AS109", (1, 6), "column `city` must be an encoding or a mapping", "`city: vocabulary`"),
        ("item: hash", "AS760", (1, 7), "`item` shares its ids with `clicks`", "encodes them alike"),
        ("city: {separator: ;}", "AS705", (1, 19), "reads no lists from the column `city`", "it reads lists from"),
        ("tags: {missing: NA}", "AS705", (1, 17), "input `tags` reads lists", "`--padding tags=NA`"),
        ('"*": hash', "AS705", (1, 6), "reads no column `*`", "it reads city"),
        ("click: 'classes:no'", "AS705", (1, 8), "cannot be encoded as `classes:no`", "each of the 2 classes"),
        ("city: hash\ncity: ids", "AS033", (2, 1), "city", ""),
        ("city: {encode: hash", "AS026", (1, 7), "never closed", ""),
    ],
)
def test_mistakes_are_reported_like_those_of_a_spec(  # noqa: PLR0913, PLR0917 - the case
    tmp_path: Path, requirements: dict[str, ColumnRequirement], text: str, code: str, place: tuple[int, int], said: str,
    way_out: str,
) -> None:  # fmt: skip
    """Each mistake causes one diagnostic with its place and a help, and status 1."""
    with pytest.raises(SpecError) as caught:
        written(tmp_path, text + "\n", requirements)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert said in diagnostic.message
    assert way_out in diagnostic.help
    assert diagnostic.span is not None
    assert (diagnostic.span.line, diagnostic.span.column) == place
    assert caught.value.status == 1


def test_a_file_that_is_not_there(tmp_path: Path, requirements: dict[str, ColumnRequirement]) -> None:
    """A missing file gives status 2, and the nearest name is suggested."""
    (tmp_path / "encodings.yaml").write_text("city: hash\n", encoding="utf-8")
    with pytest.raises(SpecError, match="AS001") as caught:
        written_requests(tmp_path / "encoding.yaml", requirements)
    assert caught.value.status == 2
    assert "encodings.yaml" in caught.value.diagnostics[0].help
