"""Random rows to train on: `python examples/rows.py build/rows.parquet`.

For `specs/ple.yaml`: users have tastes, videos have topics, a history contains videos that its user likes, and both
tasks depend on how well a video fits. To train on them: `archspec train specs/ple.yaml --data build/rows.parquet`.

With `--events`, for `specs/din_ple.yaml`: past clicks as lists of items and of their categories, and a candidate that
is clicked if it is similar to one of them (`archspec.synthetic.synthetic_events`).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # runs from a checkout, without an installation

from archspec.files import whole
from archspec.synthetic import synthetic_events

USERS, VIDEOS, LONGEST, STATS, TASTES = 2000, 1000, 10, 8, 4


def rows(count: int, seed: int) -> pa.Table:
    """A table of `user`, `video`, `history` (lists), `stats` (8 numbers), and the labels `vtr` (0, 1) and `vcr`."""
    random = np.random.default_rng(seed)
    tastes, topics = random.integers(0, TASTES, USERS), random.integers(0, TASTES, VIDEOS)
    fits, quality = random.normal(scale=2, size=(TASTES, TASTES)), random.normal(scale=0.5, size=VIDEOS)
    liked = [np.flatnonzero(topics == fits[taste].argmax()) for taste in range(TASTES)]
    user, video = random.integers(0, USERS, count), random.integers(0, VIDEOS, count)
    stats = random.normal(size=(count, STATS)).astype(np.float32)
    fit = fits[tastes[user], topics[video]] + quality[video] + 0.5 * stats[:, 0]
    lengths = random.integers(0, LONGEST + 1, count)
    history = [random.choice(liked[tastes[one]], length) for one, length in zip(user, lengths, strict=True)]
    vtr = (fit + random.logistic(size=count) > 0).astype(np.int8)
    vcr = 1 / (1 + np.exp(-fit + 0.5 * stats[:, 1] + random.normal(scale=0.5, size=count)))
    return pa.table({"user": user, "video": video, "history": history, "stats": list(stats), "vtr": vtr, "vcr": vcr})


def events(count: int, seed: int) -> pa.Table:
    """A table of `user`, `item`, `cate`, `clicks` and `click_cates` (lists), and the labels `click` and `buy`."""
    batch = {name: column.numpy() for name, column in synthetic_events(count, seed=seed).items()}
    lists = {name: [row[row >= 0] for row in column] for name, column in batch.items() if column.ndim > 1}
    labels = {name: batch[name].astype(np.int8) for name in ("click", "buy")}
    return pa.table({**batch, **lists, **labels})


def main() -> None:
    """Writes the rows, completely or not at all."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", type=Path, help="a Parquet file")
    parser.add_argument("--events", action="store_true", help="rows for specs/din_ple.yaml instead of specs/ple.yaml")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with whole(options.output, parents=True) as file:
        parquet.write_table((events if options.events else rows)(options.rows, options.seed), file)
    print(options.output)


if __name__ == "__main__":
    main()
