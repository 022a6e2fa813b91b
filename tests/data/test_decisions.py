"""A column has one encoding over all files, and a value has the same id in each of them."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from archspec.data.batches import table_batches
from archspec.data.encoder import Encoder
from archspec.data.encodings import Buckets, Ids, Numbers, Standard, Vocabulary, Words
from archspec.data.requirements import ColumnRequirement
from archspec.data.survey import learned
from archspec.data.tables import Chunk, open_tables
from archspec.diagnostics import SpecError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from archspec.data.survey import Learned

USER = ColumnRequirement("user", "ids", "input `user`", high=100, family="user")
ITEMS = ColumnRequirement("items", "lists", "input `items`", width=4, high=100, family="items")
SCENE = ColumnRequirement("scene", "ids", "input `scene`", high=3, words=("n1", "n2", "n3"), family="scene")
NAN, INF = float("nan"), float("inf")
BIG = 6_222_000_000_000_000_003


def survey(files: Sequence[Any], requirement: ColumnRequirement = USER, kind: str | None = None) -> Learned:
    """The result for a column whose values are in several files, each with its own type."""

    def read(_columns: Collection[str]) -> Iterator[Chunk]:
        for number, values in enumerate(files):
            array = values if isinstance(values, pa.Array) else pa.array(values)
            yield Chunk(f"f{number}", 0, len(array), {requirement.column: array})

    return learned(read, {requirement.column: requirement}, {} if kind is None else {requirement.column: kind})


def encoding(files: Sequence[Any], requirement: ColumnRequirement = USER, kind: str | None = None) -> Any:  # noqa: ANN401 - any encoding, with its own fields
    """The encoding of the column."""
    return survey(files, requirement, kind).encodings[requirement.column]


def ids(found: Any, values: Any) -> list[int]:  # noqa: ANN401 - any encoding and array
    """The ids of the values, all of which fit."""
    array = values if isinstance(values, pa.Array) else pa.array(values)
    encoded, fits = found.encode(array)
    assert fits.all()
    return [int(value) for value in encoded]


def refused(files: Sequence[Any], requirement: ColumnRequirement = USER, kind: str | None = None) -> Any:  # noqa: ANN401 - a Diagnostic
    """The diagnostic for a column whose encoding cannot be learned."""
    with pytest.raises(SpecError) as caught:
        survey(files, requirement, kind)
    assert caught.value.status == 2
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


# -- which encoding ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pa.array([BIG, BIG + 3]), "vocabulary"),
        ([str(BIG), str(BIG + 3)], "vocabulary"),
        (pa.array([2**63, 2**64 - 1], pa.uint64()), "vocabulary"),
        (pa.array([-BIG, BIG]), "vocabulary"),
        (pa.array([Decimal(BIG), Decimal(BIG + 3)], pa.decimal128(38, 0)), "vocabulary"),
        (pa.array([BIG, 7]), "ids"),
        (pa.array([200, 300], pa.uint64()), "ids"),
        (pa.array([1, 2], pa.int8()), "ids"),
        (pa.array([Decimal("1.00"), Decimal("2.00")]), "ids"),
        (pa.array([True, False, None]), "ids"),
        (pa.array(["1", "2"]).dictionary_encode(), "ids"),
        (pa.array(["1", " 2 "], pa.large_string()), "ids"),
        (pa.array([Decimal("1.50"), Decimal("2.00")]), "buckets"),
        ([0.5, 1.5, INF], "buckets"),
        (["0.5", "1", "-inf"], "buckets"),
        (["7", "0.5", "True"], "buckets"),
        (["7", "Oslo"], "vocabulary"),
        (["-5", "3"], "ids"),
    ],
)
def test_the_type_of_a_column_decides_nothing(values: Any, kind: str) -> None:  # noqa: ANN401
    """Whole numbers are ids and fractions get buckets in any type; ids too large for any table get a vocabulary."""
    found = encoding([values])
    assert found.kind == kind
    if kind == "vocabulary":
        assert len(set(ids(found, values))) == len(values)


@pytest.mark.parametrize("number", [2**63 + 5, BIG])
def test_lists_of_large_ids(number: int) -> None:
    """Each item of a list has its own id, even if it needs 64 unsigned bits."""
    items = pa.array([[number, number + 1], [number + 2]], pa.list_(pa.uint64()))
    found = encoding([items], ITEMS)
    assert len(set(ids(found, items.values))) == 3


def test_lists_of_fractions() -> None:
    """Fractions in lists get a vocabulary of numbers, in any spelling."""
    found = encoding([[[1.5, 2.5], [2.5]]], ITEMS)
    assert found.values == ("2.5", "1.5")
    assert ids(found, ["1.50", "2.5"]) == [2, 1]


def test_one_infinity_changes_nothing_for_the_others() -> None:
    """The buckets are those of the other values; the infinity itself does not fit."""
    values = [i + 0.5 for i in range(50)]
    found = encoding([[*values, INF]])
    assert found == encoding([values])
    assert found.encode(pa.array([INF, 0.5]))[1].tolist() == [False, True]


def test_whole_numbers_in_one_file_and_fractions_in_another() -> None:
    """The column has the same buckets in both files."""
    assert isinstance(encoding([[1, 2, 3], [0.5]]), Buckets)
    assert encoding([[1, 2, 3], [0.5]]) == encoding([[1.0, 2.0, 3.0, 0.5]])


@pytest.mark.parametrize("old", [[7, 7, 8], [7.0, 7.0, 8.0], pa.array([7, 7, 8], pa.uint64()), ["7", "7", "8"]])
def test_a_file_of_integers_beside_one_of_texts(old: Any) -> None:  # noqa: ANN401
    """Both files share one vocabulary that keeps all integers, whichever file comes first."""
    for files in ([old, ["u1", "u1", "u1"]], [["u1", "u1", "u1"], old]):
        assert encoding(files) == Vocabulary(values=("u1", "7", "8"), reading="texts", names=True)


def test_lists_of_integers_beside_lists_of_texts() -> None:
    """The same holds for items of lists."""
    assert encoding([[[7, 7], [8]], [["x"] * 3]], ITEMS).values == ("x", "7", "8")


# -- codes, and ids that were rounded ----------------------------------------------------------------------------------


def test_codes_with_zeros_before_them() -> None:
    """Codes are ids if their numbers can be ids, and otherwise texts; the options of the help work as described."""
    assert encoding([["007", "012"]]) == Ids(high=100)
    found = encoding([["00700", "01200"]])
    assert found == Vocabulary(values=("00700", "01200"), reading="texts")
    assert ids(found, ["00700", "700"]) == [1, 0]


@pytest.mark.parametrize("files", [[["007"], ["7"]], [["007"], [7]], [[7], ["007"]], [["007", "7"]], [["+7", "7"]]])
def test_two_texts_of_one_number(files: Any) -> None:  # noqa: ANN401
    """It is unclear whether two such texts are the same value: it is an error, and both proposals of the help work."""
    told = refused(files)
    assert told.code == "AS711"
    assert "`--encode user=ids` reads them as one id" in told.help
    assert isinstance(encoding(files, kind="ids"), Ids)
    assert len(encoding(files, kind="vocabulary").values) == 2


def test_fractions_that_are_written_in_two_ways() -> None:
    """In buckets the spelling of numbers does not matter; in a requested vocabulary both spellings are kept."""
    assert isinstance(encoding([["1.1", "1.10"]]), Buckets)
    assert encoding([["1.1", "1.10"]], kind="vocabulary").values == ("1.1", "1.10")
    assert encoding([["0.50", "1.25"]], kind="vocabulary") == encoding([[0.5, 1.25]], kind="vocabulary")
    assert refused([[["1.1", "1.10"]]], ITEMS).code == "AS711"


@pytest.mark.parametrize("values", [[float(BIG), 7.0], ["6.222e18", "7"], [f"{BIG}.0"], [1e300]])
def test_ids_that_floats_have_rounded(values: Any) -> None:  # noqa: ANN401
    """Whole numbers above 2^53 in floats are rejected as ids; on request the rounded values get a vocabulary."""
    assert refused([values]).code == "AS712"
    found = survey([values], kind="vocabulary")
    assert [item.code for item in found.warnings] == ["AS712"]
    assert len(set(ids(found.encodings["user"], values))) == len(values)


def test_fractions_may_be_as_large_as_they_like() -> None:
    """Values that are put in buckets are not ids, so they have no upper limit."""
    assert isinstance(encoding([[0.5, 1e16, 1e300]]), Buckets)


# -- no value ----------------------------------------------------------------------------------------------------------

SPELLED = ["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None", "NaT", "\\N", " NA "]


@pytest.mark.parametrize("text", SPELLED)
def test_spellings_of_no_value(text: str) -> None:
    """Each spelling is a missing value: numbers stay numbers, and it becomes the mean instead of a bad value."""
    assert encoding([["1", text, "2"]]) == Ids(high=100)
    column = pa.array([text, "3"])
    assert Standard(mean=3.0, deviation=1.0).encode(column)[0].tolist() == [0, 0]
    assert Buckets(edges=()).encode(column)[0].tolist() == [0, 1]
    assert Numbers().encode(column)[1].tolist() == [False, True]


def test_no_value_is_not_an_unknown_one() -> None:
    """If training rows contain missing values, they have their own id in any file and spelling; otherwise id 0."""
    found = encoding([["a", "a", None, "b"]])
    assert found == Vocabulary(values=("a", "b"), reading="texts", missing=True, names=True)
    assert ids(found, ["a", "x", None, "N/A", "b"]) == [1, 0, 3, 3, 2]
    assert ids(found, pa.array([NAN])) == [3]
    assert ids(encoding([["a", "b"]]), ["a", None]) == [1, 0]


def test_na_is_a_name_among_names_and_no_value_among_numbers() -> None:
    """In a column of country codes `NA` is Namibia, with its own id; beside numbers it is missing."""
    countries = encoding([["NO", "NA", "NO", None, "NA", "NA"]])
    assert countries == Vocabulary(values=("NA", "NO"), reading="texts", missing=True, names=True)
    assert ids(countries, ["NA", "", "null", "NO"]) == [1, 3, 3, 2]
    numbers = encoding([["500", "NA", "700"]], kind="vocabulary")
    assert (numbers.values, numbers.missing, numbers.names) == (("500", "700"), True, False)
    assert ids(numbers, ["NA", "500"]) == [3, 1]
    assert isinstance(encoding([["1", "NA", "2"]]), Ids)
    assert encoding([["NA", "1.5"], ["x"]]).values == ("1.5", "NA", "x")
    assert survey([["NA", "NA"]]).warnings[0].code == "AS713"


def test_a_vocabulary_of_an_older_run_reads_na_as_it_did() -> None:
    """An older vocabulary is read as it was learned, with `NA` as a missing value."""
    old = Vocabulary(values=("NO",), reading="texts", missing=True)
    assert ids(old, ["NA", "NO"]) == [2, 1]


def test_no_value_takes_the_place_of_a_rarer_one() -> None:
    """In a full vocabulary, missing values get an id if they are more frequent than the rarest value."""
    small = ColumnRequirement("user", "ids", "input `user`", high=3, family="user")
    often, rarely = (encoding([["a"] * 3 + ["b"] * 2 + [None] * count], small) for count in (3, 1))
    assert (often.values, often.missing, often.others) == (("a",), True, 1)
    assert (rarely.values, rarely.missing) == (("a", "b"), False)
    assert max(ids(often, ["a", "b", None])) < 3


def test_a_column_without_values() -> None:
    """A column without values causes a warning; a vocabulary of missing values alone is legal."""
    found = survey([[None, None]], kind="vocabulary")
    assert [item.code for item in found.warnings] == ["AS713"]
    assert found.found["user"] == "no values"
    assert ids(found.encodings["user"], pa.array([None, "x"])) == [1, 0]


def test_lists_without_a_value_are_empty() -> None:
    """A missing list is an empty list, and gets no id."""
    assert encoding([[["a"], None]], ITEMS) == Vocabulary(values=("a",), reading="texts", names=True)


# -- domains -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [[1, 2, 3], ["1", "2", "3"], [1.0, 2.0, 3.0], ["1.0", "2", "03"]])
def test_a_domain_counted_from_one(values: Any) -> None:  # noqa: ANN401
    """If the numbers are 1 to n, 1 is the first name, whatever the type, and a warning says so."""
    found = survey([values], SCENE)
    assert [item.code for item in found.warnings] == ["AS716"]
    assert "counted from 1: 1 is `n1`, 3 is `n3`" in found.warnings[0].message
    assert ids(found.encodings["scene"], [1, 2, 3]) == [0, 1, 2]
    assert found.encodings["scene"].encode(pa.array([0]))[1].tolist() == [False]


def test_a_domain_counted_from_zero() -> None:
    """If 0 occurs or n does not, numbers are indices from 0; a warning explains this if 0 does not occur."""
    assert survey([[0, 1, 2]], SCENE).warnings == ()
    assert ids(encoding([[0, 1, 2]], SCENE), [0, 2]) == [0, 2]
    assert survey([["n1", "n3"]], SCENE).warnings == ()
    assert [item.code for item in survey([[1, 2]], SCENE).warnings] == ["AS716"]
    assert encoding([[0, 3]], SCENE).encode(pa.array([3]))[1].tolist() == [False]


def test_a_domain_of_numbers() -> None:
    """If the domain's values are numbers, a number means the value itself, not its index."""
    requirement = ColumnRequirement("scene", "ids", "input `scene`", high=3, words=("1", "2", "10"), family="scene")
    found = encoding([[1, 2, 10]], requirement)
    assert found == Words(words=("1", "2", "10"), first=None)
    for values in ([10, 1], ["10", "1"], [10.0, 1.0], ["10.0", "01"]):
        assert ids(found, values) == [2, 0]
    assert found.encode(pa.array([0]))[1].tolist() == [False]


# -- the same value everywhere -----------------------------------------------------------------------------------------

FORMS: dict[str, list[Any]] = {
    "12": [pa.array([12]), pa.array([12], pa.uint8()), pa.array([12.0]), pa.array([12.0], pa.float32()),
           pa.array(["12"]), pa.array(["12.0"]), pa.array([" 12 "]), pa.array(["12"]).dictionary_encode(),
           pa.array([Decimal("12.00")]),
           pa.array(["12"], pa.large_string())],
    "0": [pa.array([0]), pa.array([-0.0]), pa.array(["0"]), pa.array(["0.0"]), pa.array(["-0"]), pa.array([False])],
    "0.5": [pa.array([0.5]), pa.array([0.5], pa.float16()), pa.array(["0.50"]), pa.array([".5"]), pa.array(["5e-1"])],
    "0.1": [pa.array([0.1]), pa.array([0.1], pa.float32()), pa.array(["0.1"]), pa.array([Decimal("0.1")])],
    "10000000000000000": [pa.array([10**16]), pa.array([1e16]), pa.array(["10000000000000000"]), pa.array(["1e16"])],
    str(2**64 - 1): [pa.array([2**64 - 1], pa.uint64()), pa.array([str(2**64 - 1)]), pa.array([Decimal(2**64 - 1)])],
    "1e+300": [pa.array([1e300]), pa.array(["1e300"])],
    "-3": [pa.array([-3]), pa.array(["-3"]), pa.array(["-3.0"]), pa.array([-3.0])],
}  # fmt: skip


@pytest.mark.parametrize("text", FORMS)
def test_a_number_has_one_id(text: str) -> None:
    """A number has the same id in any type and notation, and whatever else is in its column."""
    found = Vocabulary(values=("else", text), reading="numbers")
    for array in FORMS[text]:
        assert ids(found, array) == [2]
        if pa.types.is_floating(array.type):
            for other in (0.25, 3.0, NAN, INF, None, 1e17, -0.0):
                assert ids(found, pa.concat_arrays([array, pa.array([other], array.type)]))[0] == 2


def test_texts_among_texts() -> None:
    """Texts are kept unchanged, except that whole floats and truth values have one spelling."""
    found = Vocabulary(values=("1.10", "1.1", "007", "true", "12"), reading="texts")
    assert ids(found, ["1.10", "1.1", "007", "7", "True", "12.0", "12.00"]) == [1, 2, 3, 0, 4, 5, 5]
    assert ids(found, [True]) == [4]
    assert ids(found, [1.1, 12.0]) == [2, 5]


def test_vocabularies_of_older_runs_keep_their_ids() -> None:
    """A vocabulary of a run without a reading takes texts literally, also `NA` and `12.0`."""
    kept = {"kind": "vocabulary", "values": ["NA", "12.0", "12", "0.5"], "others": 3}
    text = json.dumps({"columns": {"user": kept}, "widths": {}})
    (found,) = Encoder.from_text(text, {"user": USER}).encodings.values()
    assert ids(found, ["NA", "12.0", "12", "0.5", None, "x"]) == [1, 2, 3, 4, 0, 0]
    for values in ([12.0, NAN], [12.0, 0.5], [12.0, 3.0]):
        assert ids(found, values)[0] == 3
    words = '{"columns": {"scene": {"kind": "words", "words": ["n1", "n2", "n3"]}}, "widths": {}}'
    (found,) = Encoder.from_text(words, {"scene": SCENE}).encodings.values()
    assert ids(found, [0, 1, 2]) == [0, 1, 2]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.feather"])
def test_a_row_has_the_same_ids_in_any_file(tmp_path: Path, name: str) -> None:
    """A table of mixed columns is encoded the same from CSV, Parquet or Feather, in one piece or row by row."""
    columns: dict[str, list[Any]] = {
        "user": [12.0, 0.5, NAN, 1e16, -0.0],
        "city": ["Oslo", "NA", None, " Rome ", "7.0"],
        "code": [BIG, BIG + 1, BIG + 2, BIG, None],
    }
    requirements = {name: ColumnRequirement(name, "ids", name, high=100, family=name) for name in columns}
    parquet.write_table(pa.table(columns), tmp_path / "train.parquet")
    tables = open_tables([tmp_path / "train.parquet"])
    found = learned(tables[0].chunks, requirements, {"user": "vocabulary"})
    encoder = Encoder.of(found, requirements, {})
    (expected,) = table_batches([str(tmp_path / "train.parquet")], encoder)
    for rows in (slice(0, 5), *(slice(row, row + 1) for row in range(5))):
        _write(tmp_path / name, {column: values[rows] for column, values in columns.items()})
        (batch,) = table_batches([str(tmp_path / name)], encoder)
        assert {key: value.tolist() for key, value in batch.items()} == {
            key: value[rows].tolist() for key, value in expected.items()
        }


def _write(path: Path, columns: dict[str, list[Any]]) -> None:
    """A table as a file; CSV as pandas writes it."""
    if path.suffix == ".csv":
        rows = [["" if value is None else str(value) for value in row] for row in zip(*columns.values(), strict=True)]
        path.write_text("".join(",".join(row) + "\n" for row in [list(columns), *rows]))
    elif path.suffix == ".feather":
        feather.write_feather(pa.table(columns), path)
    else:
        parquet.write_table(pa.table(columns), path)


# -- sizes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ids", "vocabulary", "buckets"])
def test_a_huge_vocabulary_costs_nothing(kind: str) -> None:
    """The size of what is learned depends on the data, not on the table in the spec."""
    huge = ColumnRequirement("user", "ids", "input `user`", high=90_000_000, family="user")
    found = encoding([np.arange(1000) * 3], huge, kind)
    assert len(found.model_dump_json()) < 40_000
    assert len(set(ids(found, pa.array(np.arange(1000) * 3)))) == 1000


def test_standard_numbers_that_single_precision_cannot_hold() -> None:
    """Numbers beyond single precision do not fit, and do not affect mean and deviation."""
    found = encoding([[1.0, 3.0, 1e300]], ColumnRequirement("x", "numbers", "input `x`"), "standard")
    assert (found.mean, found.deviation) == (2.0, 1.0)
    assert found.encode(pa.array([3.0, 1e300]))[1].tolist() == [True, False]
    json.dumps(found.model_dump())
