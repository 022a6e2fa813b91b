"""The first call of `torch.compile(model, fullgraph=True)`, each in a fresh process with an empty cache."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import torch

from benchmarks import fresh
from benchmarks.contenders import ARCHSPEC, BUILDERS, PLAIN, RECHUB, SIZES, Contender
from benchmarks.grid import INFER, TRAIN
from benchmarks.report import Bar, Section, quick, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from torch.fx import GraphModule

_ROWS = 256
_BAR = 1 / 3
_LONGEST = 240.0
_CODE = "import sys; from benchmarks.compile_time import first_call; first_call(*sys.argv[1:])"
_ALONE = "from benchmarks.compile_time import anything; anything()"


def anything() -> None:
    """Prints the seconds of the first call of a compiled `x + 1`: headers and instruction sets, whatever the graph."""
    compiled = torch.compile(lambda x: x + 1)
    start = time.perf_counter()
    compiled(torch.ones(8, 8))
    sys.stdout.write(json.dumps(time.perf_counter() - start) + "\n")


def nodes(contender: Contender, ids: Tensor) -> int:
    """How many nodes the graph of a forward pass has that `torch.compile` traces, arguments included."""
    counts: list[int] = []

    def count(graph: GraphModule, _: object) -> Callable[..., object]:
        counts.append(len(graph.graph.nodes))
        return graph.forward

    model = torch.compile(contender.model.eval(), fullgraph=True, backend=count)
    with torch.no_grad():
        model(contender.batch(ids))
    torch.compiler.reset()
    (found,) = counts
    return found


def first_call(name: str, mode: str) -> None:
    """Prints the seconds of the first call and the largest difference from the eager outputs, as JSON."""
    size = SIZES[1]
    contender = BUILDERS[name](size)
    ids, labels = size.draw(_ROWS)
    batch = contender.batch(ids)
    model = contender.model.eval()  # for training, too: batch norms would update their statistics between the two calls
    compiled = torch.compile(model, fullgraph=True)
    eager = contender.stacked(model(batch)).detach()
    start = time.perf_counter()
    with torch.set_grad_enabled(mode == TRAIN):
        outputs = contender.stacked(compiled(batch))
        if mode == TRAIN:
            contender.loss(outputs, labels).backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
    seconds = time.perf_counter() - start
    sys.stdout.write(json.dumps([seconds, (outputs.detach() - eager).abs().max().item()]) + "\n")


def section(*, short: bool) -> Section:
    """The table; the short form omits training and the plain module."""
    names = (RECHUB, ARCHSPEC) if short else (RECHUB, PLAIN, ARCHSPEC)
    ids, _ = SIZES[1].draw(_ROWS)
    alone: float = fresh.run(_ALONE, timeout=_LONGEST)
    rows, bars = [("any", "x + 1", "3", f"{alone:.1f}", "", "", "")], []
    for mode in (INFER,) if short else (INFER, TRAIN):
        theirs, _ = fresh.run(_CODE, RECHUB, mode, timeout=_LONGEST)
        for name in names:
            traced = str(nodes(BUILDERS[name](SIZES[1]), ids))
            try:
                seconds, difference = (
                    (theirs, 0.0) if name == RECHUB else fresh.run(_CODE, name, mode, timeout=_LONGEST)
                )
            except fresh.FreshError as error:
                rows.append((mode, name, traced, "fails", "", "", str(error)))
                seconds = float("inf")
            else:
                own = (seconds - alone) / (theirs - alone)
                shares = (f"{seconds / theirs:.2f}", f"{own:.2f}")
                rows.append((mode, name, traced, f"{seconds:.1f}", *shares, f"{difference:.1e}"))
            if name == ARCHSPEC:
                what = f"first call of torch.compile, 8 tasks, {mode}: share of torch-rechub's time"
                bars.append(Bar(what, _BAR, seconds / theirs, least=False))
    about = (
        f"Seconds of the first call of `torch.compile(model, fullgraph=True)`, {SIZES[1]}, B {_ROWS}, a fresh\n"
        "process with an empty cache each; `train` with the backward pass. Beside them the nodes of the traced\n"
        "graph, the share of torch-rechub's time, that share without the time of `x + 1`, which every first call\n"
        "needs, and the largest difference of an output from eager."
    )
    header = ("mode", "contender", "nodes", "seconds", "share", "without x + 1", "difference")
    return Section("Compile time", about, header, tuple(rows), tuple(bars))


if __name__ == "__main__":
    show(section(short=quick()))
