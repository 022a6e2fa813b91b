"""Changed specs are refused with diagnostics or are valid: no other error, no hang, no endless message.

`python -m tests.specs.test_mutated MINUTES [SEED]` tries as many as possible.
"""

from __future__ import annotations

import random
import sys
import time
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

import archspec
from archspec.compiler.compile import build
from archspec.diagnostics import render
from archspec.graph.load import load_graph
from archspec.plugins import load as load_plugins
from archspec.render import to_dot
from tests.limited import limited
from tests.mutations import mutated
from tests.published import PLUGINS

if TYPE_CHECKING:
    from archspec.contract import Registry

_REGISTRY: list[Registry] = []


def registry() -> Registry:
    """The kinds of archspec and of all plugins of the repository."""
    if not _REGISTRY:
        _REGISTRY.append(load_plugins(sorted(PLUGINS.glob("*.py"))))
    return _REGISTRY[0]


def check(text: str) -> str:
    """Checks this for one text, and returns the outcome in one word."""
    try:
        with limited():
            graph = load_graph(text if "\n" in text else f"{text}\n", None, registry())
        with limited(30):  # ten thousand experts are legal but slow
            built = build(graph)
    except archspec.SpecError as error:
        assert error.diagnostics  # noqa: PT017 - a refusal is one of two right answers
        assert error.status in {1, 2}  # noqa: PT017 - the same
        for style in ("full", "concise", "json", "github"):
            assert len(render(error.diagnostics, style)) < 500_000  # noqa: PT017 - the same
        return "refused"
    with limited(30):
        assert archspec.load(graph.spec.text(), plugins=sorted(PLUGINS.glob("*.py"))).digest == graph.spec.digest
        assert len(render(graph.spec.diagnostics, "full")) < 500_000
        to_dot(archspec.build_graph(graph.spec))
        compile(built.source, "built", "exec")
    return "accepted"


@given(st.randoms(use_true_random=False))
@settings(
    max_examples=150,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_changed_specs_are_refused_or_mean_something(draw: random.Random) -> None:
    """Any change of a published spec ends, in limited time, in diagnostics or in a file that compiles."""
    event(check(mutated(draw)))


def main(minutes: float, seed: int) -> None:
    """Tries changed specs for some minutes, and prints those that violate the property."""
    source = random.Random(seed)  # noqa: S311 - no secret is drawn
    end = time.process_time() + 60 * minutes
    counts: dict[str, int] = {}
    slowest = 0.0
    while time.process_time() < end:
        text, start = mutated(source), time.process_time()
        try:
            found = check(text)
        except Exception as error:  # noqa: BLE001 - every kind of it is what is looked for
            found = f"{type(error).__name__}: {str(error)[:200]}"
            print(f"=== {found}\n{text}\n", flush=True)  # noqa: T201 - a script
        slowest = max(slowest, time.process_time() - start)
        counts[found] = counts.get(found, 0) + 1
    print(f"{sum(counts.values())} specs, slowest {slowest:.1f} s: {counts}")  # noqa: T201 - a script


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
