"""Inference with matrix products in bfloat16: how much faster it is, and how much predictions change.

`python -m benchmarks.low_precision` measures and writes the table of docs/serving.md, in about a minute. Processors
without instructions for bfloat16 (AVX512-BF16, AMX) compute such products more slowly than those in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch

import archspec
from benchmarks.contenders import SIZES, Size, spec_text
from benchmarks.report import Beside, ms, processor, table, versions
from benchmarks.serving import PAGE
from benchmarks.timing import interleaved
from examples.report import write_section

if TYPE_CHECKING:
    from collections.abc import Mapping

ROWS: Final = (1, 16, 256, 2048)
_HEADER: Final = (
    "tasks, B",
    "float32, ms",
    "`for_inference`, ms",
    "ratio",
    "difference",
    "unpacked, ratio",
    '`precision="bf16"`, ratio',
    "all in bf16, ratio",
    "difference",
)


def forms(size: Size) -> dict[str, Any]:
    """The model in each form."""
    made: dict[str, Any] = {"float32": archspec.compile(spec_text(size), seed=0).eval()}
    made["inference"] = archspec.for_inference(made["float32"])
    made["unpacked"] = made["inference"].unpacked()
    made["products"] = archspec.compile(spec_text(size), seed=0, precision="bf16").eval()
    made["all"] = archspec.compile(spec_text(size), seed=0).eval().to(torch.bfloat16)
    for model in made.values():
        model.check_inputs = False
    return made


def row(size: Size, models: Mapping[str, Any], rows: int, seconds: float) -> tuple[str, ...]:
    """A row of the table: times, ratios, and the largest difference of a probability."""
    batch = {name: ids.contiguous() for name, ids in zip(size.features, size.draw(rows)[0].unbind(1), strict=True)}
    timings = interleaved({name: lambda model=model: model(batch) for name, model in models.items()}, seconds)
    times = {name: found.median for name, found in timings.items()}
    scores = {name: torch.stack(list(model(batch).values())).float().sigmoid() for name, model in models.items()}
    ratios = {name: f"{times['float32'] / seconds:.2f}" for name, seconds in times.items()}
    changed = {name: f"{(found - scores['float32']).abs().max().item():.0e}" for name, found in scores.items()}
    return (
        f"{size.tasks}, {rows:,}", ms(times["float32"]),
        ms(times["inference"]), ratios["inference"], changed["inference"],
        ratios["unpacked"], ratios["products"], ratios["all"], changed["all"],
    )  # fmt: skip


@torch.no_grad()
def main() -> None:
    """Measures everything, then writes the table."""
    torch.set_num_threads(1)
    beside = Beside()
    rows = tuple(row(size, models, count, 0.4) for size in SIZES for models in (forms(size),) for count in ROWS)
    about = f"{processor()}; {versions(('torch',))}; one thread; {beside}."
    write_section(PAGE, "low_precision", f"{about}\n\n{table(_HEADER, rows)}")


if __name__ == "__main__":
    main()
