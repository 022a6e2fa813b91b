"""Specs that are large in one respect each, for measuring figures in addition to the architectures."""

from __future__ import annotations

LONG = "a_name_of_forty_letters_as_some_teams_do"


def ple(tasks: int, levels: int = 2) -> str:
    """PLE with this number of tasks."""
    names = "\n".join(f"  t{i}: {{kind: binary}}" for i in range(tasks))
    return f"""
archspec: 1
name: ple_{tasks}
inputs: {{user: {{kind: sparse, vocab: 10, dim: 4}}, stats: {{kind: dense, dim: 8}}}}
tasks:
{names}
levels:
  - repeat: {levels}
    experts: {{$task: {{count: 2, units: [8]}}, shared: {{count: 3, units: [8]}}}}
    gates: {{$task: {{sees: [$task, shared]}}, shared: {{sees: all}}}}
towers: {{$task: {{units: [4]}}}}
"""


def different(tasks: int) -> str:
    """The same, but no two tasks are alike."""
    text = ple(tasks)
    for i in range(tasks):
        text = text.replace(f"t{i}: {{kind: binary}}", f"t{i}: {{kind: binary, weight: 1.{i:03}}}")
    return text.replace(f"name: ple_{tasks}", f"name: different_{tasks}")


def experts(count: int) -> str:
    """MMoE with this number of expert groups."""
    groups = ", ".join(f"e{i}: {{units: [{8 * (i % 3 + 1)}, 8]}}" for i in range(count))
    return f"""
archspec: 1
name: experts_{count}
inputs: {{stats: {{kind: dense, dim: 8}}}}
tasks: {{a: {{kind: binary}}, b: {{kind: regression}}}}
levels: [{{experts: {{{groups}}}, gates: {{$task: {{sees: all}}}}}}]
towers: {{$task: {{units: [4]}}}}
"""


def long_names() -> str:
    """PLE whose tasks have names of forty letters."""
    text = ple(3)
    for i in range(3):
        text = text.replace(f"t{i}:", f"{LONG[:39]}{i}:")
    return text.replace("name: ple_3", "name: long_names")


def inputs(count: int) -> str:
    """PLE with this number of inputs, a third of which steer only the gates."""
    text = ple(2)
    fields = "".join(f"  f{i}: {{kind: sparse, vocab: {10 + i % 4}, dim: 4}}\n" for i in range(count))
    start, end = text.index("inputs:"), text.index("tasks:")
    listed = ", ".join(f"f{i}" for i in range(0, count, 3))
    text = f"{text[:start]}inputs:\n{fields}groups: {{some: [{listed}]}}\n{text[end:]}"
    return text.replace("name: ple_2", f"name: inputs_{count}").replace(
        "shared: {sees: all}", "shared: {sees: all, selector: some}"
    )


SPECS = {
    "ple_12": ple(12),
    "ple_50": ple(50),
    "ple_200": ple(200),
    "different_12": different(12),
    "levels_4": ple(3, 4),
    "experts_30": experts(30),
    "long_names": long_names(),
    "inputs_60": inputs(60),
}
