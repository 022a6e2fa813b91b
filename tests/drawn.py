"""Specs with one to four tasks of any kinds, and rows for them, for tests of losses, metrics, balances and runs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st

KINDS = ("binary", "regression", "multiclass")
BALANCES = ("sum", "uncertainty", "dwa", "gradnorm", "upgrad", "mgda", "pcgrad", "imtl_g", "aligned_mtl")


@dataclass(frozen=True)
class Drawn:
    """The tasks `t0`, `t1`, ... of a spec: each one's kind, and whether it has a sample space or row weights."""

    kinds: tuple[str, ...]
    spaces: tuple[bool, ...]
    weighted: tuple[bool, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks' names."""
        return tuple(f"t{place}" for place in range(len(self.kinds)))

    def text(self, balance: str = "sum") -> str:
        """A spec: an MMoE with one expert group and a gate per task."""
        tasks = "\n".join(f"  {name}: {self._task(place)}" for place, name in enumerate(self.names))
        return f"""
archspec: 1
name: drawn
inputs:
  x: {{kind: dense, dim: 3}}
  user: {{kind: sparse, vocab: 4, dim: 2}}
tasks:
{tasks}
levels:
  - experts: {{shared: {{count: 2, units: [4], activation: tanh}}}}
    gates: {{$task: {{sees: shared}}}}
towers: {{$task: {{}}}}
balance: {balance}
"""

    def _task(self, place: int) -> str:
        words = [f"kind: {self.kinds[place]}"]
        words += ["classes: 3"] * (self.kinds[place] == "multiclass")
        words += [f"when: in{place}"] * self.spaces[place]
        words += [f"weight_column: v{place}"] * self.weighted[place]
        return "{" + ", ".join(words) + "}"

    def rows(self, count: int, seed: int = 0, *, inside: float = 0.5) -> dict[str, torch.Tensor]:
        """Inputs, labels, sample spaces with about the share `inside` of the rows, and weights."""
        draw = torch.Generator().manual_seed(seed)
        batch = {
            "x": torch.randn(count, 3, generator=draw),
            "user": torch.randint(4, (count,), generator=draw),
        }
        for place, kind in enumerate(self.kinds):
            batch[f"t{place}"] = {
                "binary": torch.randint(2, (count,), generator=draw).float(),
                "regression": torch.randn(count, generator=draw),
                "multiclass": torch.randint(3, (count,), generator=draw),
            }[kind]
            batch[f"in{place}"] = (torch.rand(count, generator=draw) < inside).long()
            batch[f"v{place}"] = torch.rand(count, generator=draw)
        return batch

    def logits(self, count: int, seed: int = 0) -> dict[str, torch.Tensor]:
        """Random outputs of a model."""
        draw = torch.Generator().manual_seed(seed + 1)
        return {
            name: torch.randn(count, *([3] if kind == "multiclass" else []), generator=draw)
            for name, kind in zip(self.names, self.kinds, strict=True)
        }


@st.composite
def tasks(draw: st.DrawFn) -> Drawn:
    """One to four tasks."""
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4))
    flags = st.lists(st.booleans(), min_size=len(kinds), max_size=len(kinds)).map(tuple)
    return Drawn(tuple(kinds), draw(flags), draw(flags))


ONE_TO_FOUR = (
    *(Drawn((kind,), (False,), (False,)) for kind in KINDS),
    Drawn(("binary", "binary"), (False, True), (True, False)),
    Drawn(("regression", "multiclass", "binary"), (True, False, False), (False, True, False)),
    Drawn(("multiclass", "binary", "regression", "binary"), (False, True, True, False), (True, True, False, False)),
)
"""Some of them for tests that take long: each kind alone, and two, three and four together."""
