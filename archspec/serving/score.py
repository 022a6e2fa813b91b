"""Scores rows with an exported model, without archspec: `python score.py FOLDER rows.json`, a list of objects."""

import json
import sys
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


def spelled(value: Any) -> str:
    """The text by which a value is looked up: `12` for 12 and 12.0, `true` for True."""
    text = str(value).strip().removesuffix(".0")
    return text.lower() if text.lower() in {"true", "false"} else text


def seconds(value: Any, utc: bool = True) -> float:
    """Seconds since 1970 of an ISO 8601 text, or of a Unix time in seconds, milli-, micro- or nanoseconds."""
    if isinstance(value, str):
        return (at if (at := datetime.fromisoformat(value)).tzinfo and utc else at.replace(tzinfo=UTC)).timestamp()
    return float(value / 1000 ** sum(abs(value) >= least for least in (1e11, 1e14, 1e17)))


ENCODE: dict[str, Any] = {
    "lookup": lambda c, v: c["ids"].get(spelled(v), c["unknown"]),
    "hash": lambda c, v: 1 + int.from_bytes(blake2b(spelled(v).encode(), digest_size=8).digest()) % (c["high"] - 1),
    "buckets": lambda c, v: 1 + np.searchsorted(c["edges"], float(v), side="right"),
    "hour": lambda _, v: 1 + seconds(v, utc=False) // 3600 % 24,
    "weekday": lambda _, v: 1 + (seconds(v, utc=False) // 86400 + 3) % 7,
    "age": lambda c, v: ((seconds(v[1]) if c["until"] is None else c["until"]) - seconds(v[0])) / 86400,
    "log1p": lambda _, v: np.log1p(float(v)), "standard": lambda c, v: (float(v) - c["mean"]) / c["deviation"],
}  # fmt: skip


def encoded(c: dict[str, Any], row: dict[str, Any]) -> Any:
    """The value of a row in one input: an id or a number, or a list of `length` of them."""
    values, encode = [row.get(name) for name in c["from"]], ENCODE.get(c["kind"], lambda _, v: float(v))
    items = values[0] or [] if c["length"] else [values if c["kind"] == "age" else values[0]]
    gone = [[str(item).strip() in none for item in row[name] or []] for name, none in c["beside"].items()]
    events = zip(items, zip(*gone) if c["length"] else [[False]])
    found = [c["absent"] if str(v).strip() in c["none"] else encode(c, v) for v, no in events if not all(no)]
    return (found[-c["length"] :] + [c["pad"]] * c["length"])[: c["length"]] if c["length"] else found[0]


def score(folder: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The scores of rows, by name. `encoding.json` is described in archspec's docs/after_training.md."""
    inputs = json.loads(Path(folder, "encoding.json").read_text("utf-8"))["inputs"]
    session = onnxruntime.InferenceSession(Path(folder, "model.onnx"))
    feed = {c["name"]: np.asarray([encoded(c, row) for row in rows], c["dtype"]) for c in inputs}
    return dict(zip([output.name for output in session.get_outputs()], session.run(None, feed), strict=True))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        print("usage: python score.py FOLDER rows.json", file=sys.stderr)
        sys.exit(2)
    print(json.dumps(score(sys.argv[1], json.loads(Path(sys.argv[2]).read_text("utf-8"))), default=np.ndarray.tolist))
