"""Every setting of a spec that changes the model also changes its figure."""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

import pytest

import archspec
from archspec.contract import Reference, Settings
from archspec.contract.sees import Sees
from archspec.graph import export
from archspec.plugins import built_in
from archspec.render import to_dot, to_svg
from archspec.render.words import balance_words, task_words, words
from archspec.spec.categories import COMMON

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EDGES: Final = {
    "count", "from", "sees", "selector", "residual", "exclude", "only", "of", "query", "like",
}  # fmt: skip
"""Settings that are boxes, lines or words of a gate: the edits of a whole spec below change them."""

CATEGORIES: Final = ("input", "expert", "gate", "feature_gate", "tower", "fusion", "task", "loss", "balance")


SAMPLES: Final[dict[Any, tuple[Any, ...]]] = {
    bool: (True, False), int: (7, 9), float: (0.375, 0.625), str: ("another", "a third"),
    Reference: (Reference.parse("user"), Reference.parse("video")), Sees: (Sees.parse("all"),),
}  # fmt: skip


def kinds() -> Iterator[tuple[str, str, type[Settings]]]:
    """Category, name and settings of every built-in kind, and of the keys of whole categories."""
    registry = built_in()
    yield from ((category, "", cls) for category, cls in COMMON.items())
    for category in CATEGORIES:
        for name in registry.names(category):
            cls = registry.find(category, name)
            assert cls is not None
            yield category, name, cls


def cases() -> list[Any]:
    """Every setting of these kinds."""
    return [
        pytest.param(category, kind, cls, name, id=f"{category}-{kind or 'all'}-{name}")
        for category, kind, cls in kinds() for name, field in cls.model_fields.items()
        if (field.alias or name) not in EDGES
    ]  # fmt: skip


def sample(annotation: Any, other: Any) -> Any:  # noqa: ANN401 - a value of any type
    """A value of the field's type, other than the given one."""
    options = [option for option in get_args(annotation) if option is not NoneType]
    if annotation in SAMPLES:
        found: Sequence[Any] = SAMPLES[annotation]
    elif get_origin(annotation) is Literal:
        found = options
    elif get_origin(annotation) is tuple:
        found = {str: (("first", "second"), ("third",)), float: ((0.5, 1.5), (2.5,))}.get(options[0], ((24, 12), (48,)))
    elif get_origin(annotation) is dict:
        found = ({"ctr": 2.0}, {"ctr": 3.0})
    elif isinstance(annotation, type) and issubclass(annotation, str):
        found = (annotation("another"), annotation("a third"))
    elif isinstance(annotation, type) and issubclass(annotation, Settings):
        found = (annotation.model_construct(**required(annotation)),)
    else:
        return sample(options[0], other)
    return next(value for value in found if value != other)


def required(cls: type[Settings]) -> dict[str, Any]:
    """Values for the required fields."""
    fields = cls.model_fields.items()
    written = [(name, field) for name, field in fields if field.is_required()]
    return {name: sample(field.annotation, None) for name, field in written}


def said(category: str, kind: str, settings: Settings) -> object:
    """The words that a figure shows for settings."""
    changed = export._changed(settings)
    if category == "balance":
        return balance_words({"kind": kind, **changed})
    if category == "loss":
        return task_words({"kind": "binary", "changed": {"loss": [{"kind": kind, **changed}]}}, "ctr")
    node = {
        "category": category, "kind": kind, "title": settings.title or kind, "detail": settings.detail(),
        "changed": changed, "unsaid": export.unsaid(settings) if kind else (*changed,), "name": "own",
        "settings": settings.model_dump(mode="json", by_alias=True),
    }  # fmt: skip
    return task_words(node, "ctr") if category == "task" else (node["detail"], words(node))


@pytest.mark.parametrize(("category", "kind", "cls", "name"), cases())
def test_every_setting_of_every_kind_is_said(category: str, kind: str, cls: type[Settings], name: str) -> None:
    """A non-default value changes the text of the node's box, its output, or the caption."""
    before = required(cls)
    field = cls.model_fields[name]
    usual = before[name] if field.is_required() else field.get_default(call_default_factory=True)
    after = before | {name: sample(field.annotation, usual)}
    assert said(category, kind, cls.model_construct(**before)) != said(category, kind, cls.model_construct(**after))


PLE: Final = """
archspec: 1
name: ple
inputs:
  scene: {kind: domain, values: [vtr, vcr], dim: 2}
  user: {kind: sparse, vocab: 10, dim: 4}
  video: {kind: sparse, vocab: 12, dim: 4}
  history: {kind: sequence, vocab: 14, dim: 4}
tasks:
  vtr: {kind: binary}
  vcr: {kind: regression}
levels:
  - experts: {$task: {count: 2, units: [8]}, shared: {count: 3, units: [8]}}
    gates: {$task: {sees: [$task, shared]}, shared: {sees: all}}
  - experts: {$task: {count: 2, units: [8]}, shared: {count: 3, units: [8]}}
    gates: {$task: {sees: [$task, shared]}}
towers: {$task: {units: [4]}}
balance: sum
"""

EDITS: Final = {
    "sees another": ("gates: {$task: {sees: [$task, shared]}}", "gates: {$task: {sees: [$task]}}"),
    "sees one expert": ("gates: {$task: {sees: [$task, shared]}}", "gates: {$task: {sees: [$task, shared.0]}}"),
    "sees detached": ("gates: {$task: {sees: [$task, shared]}}", "gates: {$task: {sees: [$task, {detach: shared}]}}"),
    "gate kind": ("shared: {sees: all}", "shared: {sees: all, kind: sigmoid}"),
    "gate linear": ("shared: {sees: all}", "shared: {sees: all, kind: linear}"),
    "static": ("shared: {sees: all}", "shared: {sees: all, selector: none}"),
    "selector": ("shared: {sees: all}", "shared: {sees: all, selector: user}"),
    "selector detached": ("shared: {sees: all}", "shared: {sees: all, selector: {detach: user}}"),
    "transform": ("shared: {sees: all}", "shared: {sees: all, transform: linear}"),
    "temperature": ("shared: {sees: all}", "shared: {sees: all, temperature: 2}"),
    "exclude": ("shared: {sees: all}", "shared: {sees: all, exclude: scene}"),
    "only": ("shared: {sees: all}", "shared: {sees: all, only: scene}"),
    "top-k": ("shared: {sees: all}", "shared: {sees: all, kind: topk, k: 2}"),
    "top-k of three": ("shared: {sees: all}", "shared: {sees: all, kind: topk, k: 3}"),
    "residual": ("shared: {sees: all}", "shared: {sees: all, residual: vtr}"),
    "count": ("shared: {count: 3, units: [8]}}\n    gates: {$task: {sees: [$task, shared]}, shared",
              "shared: {count: 4, units: [8]}}\n    gates: {$task: {sees: [$task, shared]}, shared"),
    "reads": ("levels:\n  - experts: {$task: {", "levels:\n  - experts: {$task: {from: user, "),
    "modulate": ("towers: {$task: {units: [4]}}", "towers: {$task: {units: [4], modulate: {at: input}}}"),
    "modulate by": ("towers: {$task: {units: [4]}}", "towers: {$task: {units: [4], modulate: {selector: user}}}"),
    "tower norm": ("towers: {$task: {units: [4]}}", "towers: {$task: {units: [4], norm: batch}}"),
    "task weight": ("vtr: {kind: binary}", "vtr: {kind: binary, weight: 0.1}"),
    "task loss": ("vtr: {kind: binary}", "vtr: {kind: binary, loss: mse}"),
    "two losses": ("vtr: {kind: binary}", "vtr: {kind: binary, loss: [logistic, mse]}"),
    "task when": ("vtr: {kind: binary}", "vtr: {kind: binary, when: shown}"),
    "task label": ("vtr: {kind: binary}", "vtr: {kind: binary, label: watched}"),
    "task kind": ("vcr: {kind: regression}", "vcr: {kind: binary}"),
    "balance": ("balance: sum", "balance: uncertainty"),
    "balance setting": ("balance: sum", "balance: {kind: dwa, temperature: 3}"),
    "pool": ("history: {kind: sequence, vocab: 14, dim: 4}", "history: {kind: sequence, vocab: 14, dim: 4, pool: max}"),
    "shared table": ("history: {kind: sequence, vocab: 14, dim: 4}", "history: {kind: sequence, table: video}"),
    "vocab": ("vocab: 12", "vocab: 13"),
    "column": ("video: {kind: sparse,", "video: {column: item, kind: sparse,"),
    "domain value": ("values: [vtr, vcr]", "values: [vcr, vtr]"),
    "frozen": ("vocab: 12, dim: 4", "vocab: 12, dim: 4, trainable: false"),
    "name": ("name: ple", "name: other"),
    "about": ("name: ple", "name: ple\nabout: somebody's"),
}  # fmt: skip


def edited(edit: tuple[str, str] | None) -> str:
    """The SVG of PLE with one text replaced."""
    text = PLE
    if edit is not None:
        assert PLE.count(edit[0]) == 1
        text = PLE.replace(*edit)
    return to_svg(archspec.build_graph(archspec.load(text)))


def test_every_edit_of_a_spec_changes_its_figure() -> None:
    """No two of these specs, and none of them and their origin, have the same SVG."""
    svgs = {name: edited(edit) for name, edit in {"": None, **EDITS}.items()}
    same = [(one, other) for one in svgs for other in svgs if one < other and svgs[one] == svgs[other]]
    assert not same


def test_what_changes_the_svg_changes_the_dot() -> None:
    """Words and lines change in both, except where DOT folds words away."""
    texts = {name: PLE.replace(*edit) for name, edit in EDITS.items()}
    dots = {name: to_dot(archspec.build_graph(archspec.load(text))) for name, text in texts.items()}
    assert len(set(dots.values())) == len(dots)
