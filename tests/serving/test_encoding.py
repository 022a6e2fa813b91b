"""`encoding.json` and the program that applies it give the same ids and numbers as archspec's own encoder."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from archspec import plugins
from archspec.data.batches import encoded_chunks
from archspec.data.encodings import Numbers, Vocabulary, Words
from archspec.data.labels import Labels
from archspec.data.memory import tables_of
from archspec.data.prepare import Source, prepare
from archspec.graph.load import load_graph
from archspec.serving import score
from archspec.serving.encoding import _rule, encoding_text

SPEC = """
archspec: 1
name: every
inputs:
  plain: {kind: sparse, vocab: 9, dim: 2}
  text: {kind: sparse, vocab: 5, dim: 2}
  number: {kind: sparse, vocab: 30, dim: 2}
  hashed: {kind: sparse, vocab: 50, dim: 2}
  bucket: {kind: sparse, vocab: 6, dim: 2}
  hour: {kind: sparse, vocab: 25, dim: 2}
  day: {kind: sparse, vocab: 8, dim: 2}
  scene: {kind: domain, values: [home, search], dim: 2}
  history: {kind: sequence, table: text, length: 3, weights: amounts}
  clicks: {kind: sequence, vocab: 30, dim: 2, length: 3, pool: none, weights: seconds}
  cates: {kind: sequence, vocab: 30, dim: 2, length: 3, pool: none}
  x: {kind: dense, dim: 1}
  log: {kind: dense, dim: 1}
  scaled: {kind: dense, dim: 1}
  since: {kind: dense, dim: 1}
  until: {kind: dense, dim: 1}
  pair: {kind: dense, dim: 2}
tasks: {click: {}}
blocks: {events: {kind: pool, from: [clicks, cates]}}
towers: {click: {from: [inputs, events]}}
"""
CHOICES = {
    "number": "vocabulary", "hashed": "hash", "bucket": "buckets", "hour": "hour", "day": "weekday", "log": "log1p",
    "scaled": "standard", "since": "age:2026-11-27", "until": "age:now",
}  # fmt: skip


def columns(count: int, seed: int) -> dict[str, list[Any]]:
    """Columns for the spec, with values unknown to the vocabulary, and missing ones where allowed."""
    random = np.random.default_rng(seed)
    start = datetime(2026, 1, 1)  # noqa: DTZ001 - as files write it
    moments = [start + timedelta(minutes=int(minutes)) for minutes in random.integers(0, 10**6, count)]
    words, lengths = (
        ["a", "b", "NA", "-", "c", "12.0", "True", " a ", None][: 7 + 2 * seed],
        random.integers(0, 5, count),
    )
    history = [random.choice(["a", "b", "zero", "-1", "NA"], length).tolist() for length in lengths]
    events = [random.choice(np.asarray([1, 2, 3, None], object), length).tolist() for length in lengths]
    return {
        "clicks": events,
        "cates": [random.choice(np.asarray(["p", "q", "", None], object), length).tolist() for length in lengths],
        "seconds": [random.normal(size=length).tolist() for length in lengths],
        "plain": random.integers(0, 9, count).tolist(),
        "text": random.choice(np.asarray(words, dtype=object), count).tolist(),
        "number": [None if n % 7 == 0 else float(n) for n in random.integers(10**12, 10**12 + 40, count)],
        "hashed": random.choice(np.asarray(["x", "12", "12.0", "NA", None], dtype=object), count).tolist(),
        "bucket": [None if n < 0 else float(n) for n in random.normal(1, 1, count)],
        "hour": [moment.isoformat() for moment in moments],
        "day": [int((moment - datetime(1970, 1, 1)).total_seconds() * 1000) for moment in moments],  # noqa: DTZ001
        "scene": random.choice(["home", "search"], count).tolist(),
        "history": history,
        "amounts": [random.normal(size=len(each)).tolist() for each in history],
        "x": random.normal(size=count).tolist(),
        "log": random.exponential(size=count).tolist(),
        "scaled": [None if n < 0 else float(n) for n in random.normal(1, 1, count)],
        "since": [f"{moment.isoformat()}+01:00" for moment in moments],
        "until": [moment.isoformat() for moment in moments],
        "now": [(moment + timedelta(hours=5)).isoformat() for moment in moments],
        "pair": random.normal(size=(count, 2)).tolist(),
        "click": random.integers(0, 2, count).tolist(),
    }


def test_every_encoding_is_followed(tmp_path: Path) -> None:
    """For each kind of encoding, the reference program and the encoder agree on rows not seen in training."""
    parquet.write_table(pa.table(columns(200, 0)), tmp_path / "rows.parquet")
    graph = load_graph(SPEC, None, plugins.load([]))
    source = Source((str(tmp_path / "rows.parquet"),), choices=CHOICES, missing={"text": ("-",)})
    encoder = prepare(graph, source, tmp_path / "run").encoder
    data = json.loads(encoding_text(encoder, graph.spec))
    assert (data["format"], data["spec"], data["digest"]) == (1, "every", graph.spec.digest)
    kinds = {column["name"]: column["kind"] for column in data["inputs"]}
    assert set(kinds.values()) == {"ids", "numbers", *score.ENCODE}
    new = columns(100, 1)
    (expected,) = encoded_chunks(tables_of(new), encoder.of_inputs())
    assert expected.good.all()
    rows = [{name: values[row] for name, values in new.items()} for row in range(100)]
    for column in data["inputs"]:
        found = np.asarray([score.encoded(column, row) for row in rows], column["dtype"])
        own = expected.columns[column["name"]]
        assert found.dtype.kind == own.dtype.kind
        np.testing.assert_allclose(found, own, rtol=1e-6, err_msg=column["name"])


def test_the_numbers_of_a_domain_are_looked_up(tmp_path: Path) -> None:
    """A domain accepts the names of its values, and their numbers in the order of the run."""
    ids = _rule(Words(words=("home", "search"), first=1))["ids"]
    assert ids == {"1": 0, "2": 1, "home": 0, "search": 1}
    assert _rule(Words(words=("7", "8.0"), first=None))["ids"] == {"7": 0, "8": 1, "8.0": 1}
    assert not list(tmp_path.iterdir())


def test_booleans_among_numbers() -> None:
    """True is 1 in a vocabulary of numbers, and `true` in one of texts."""
    numbers = _rule(Vocabulary(values=("1", "5"), reading="numbers"))
    texts = _rule(Vocabulary(values=("true", "5"), reading="texts"))
    for rule in (numbers, texts):
        column = {"name": "a", "from": ["a"], "length": None, "beside": {}, "none": ["None"], **rule}
        assert [score.encoded(column, {"a": value}) for value in (True, 5, "5.0", 6, None)] == [1, 2, 2, 0, 0]


def test_labels_are_not_inputs() -> None:
    """The encoding has no rule for labels."""
    with pytest.raises(TypeError, match="no input is encoded as Labels"):
        _rule(Labels())
    assert _rule(Numbers()) == {"kind": "numbers", "absent": None}


def test_the_reference_program_is_short() -> None:
    """It has at most 60 lines, and imports numpy, onnxruntime and the standard library."""
    text = Path(score.__file__).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    assert "import archspec" not in text
    assert "from archspec" not in text
