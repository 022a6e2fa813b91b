"""Inference with matrix products in bfloat16: how much faster it is, and how much predictions change.

`python -m benchmarks.low_precision` measures and writes the table of docs/serving.md, in less than a minute. Processors
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
    from collections.abc import Callable

ROWS: Final = (1, 16, 256, 2048)
_HEADER: Final = (
    "tasks, B",
    "float32, ms",
    '`precision="bf16"`, ms',
    "ratio",
    "difference",
    "all in bf16, ms",
    "ratio",
    "difference",
)


def forms(size: Size, rows: int) -> dict[str, Callable[[], dict[str, torch.Tensor]]]:
    """The logits of the model in each form, for the same rows."""
    batch = {name: ids.contiguous() for name, ids in zip(size.features, size.draw(rows)[0].unbind(1), strict=True)}
    made: list[Any] = [
        archspec.compile(spec_text(size), seed=0, precision=each).eval() for each in ("fp32", "bf16", "fp32")
    ]
    made[2].to(torch.bfloat16)
    for model in made:
        model.check_inputs = False
    return {
        name: lambda model=model: model(batch) for name, model in zip(("fp32", "products", "all"), made, strict=True)
    }


def row(size: Size, rows: int, seconds: float) -> tuple[str, ...]:
    """A row of the table: times, ratios, and the largest difference of a probability."""
    calls = forms(size, rows)
    timings = {name: found.median for name, found in interleaved(calls, seconds).items()}
    scores = {name: torch.stack(list(call().values())).float().sigmoid() for name, call in calls.items()}
    found = [f"{size.tasks}, {rows:,}", ms(timings["fp32"])]
    for name in ("products", "all"):
        difference = (scores[name] - scores["fp32"]).abs().max().item()
        found += [ms(timings[name]), f"{timings['fp32'] / timings[name]:.2f}", f"{difference:.0e}"]
    return tuple(found)


@torch.no_grad()
def main() -> None:
    """Measures everything, then writes the table."""
    torch.set_num_threads(1)
    beside = Beside()
    rows = tuple(row(size, count, 0.5) for size in SIZES for count in ROWS)
    about = f"{processor()}; {versions(('torch',))}; one thread; {beside}."
    write_section(PAGE, "low_precision", f"{about}\n\n{table(_HEADER, rows)}")


if __name__ == "__main__":
    main()
