"""The test kit for kinds: a plugin's test needs only one line, a call of `check_kind`.

This package contains tiny specs that use a kind, and the checks that run on them. It may use every stage, from spec to
torch.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from archspec import plugins as plugin_door
from archspec.contract.registry import marks, place
from archspec.diagnostics import SpecError
from archspec.testing.tiny import Tiny, tiny_spec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from archspec.contract import KindClass, Registry

__all__ = ["check_kind"]


def check_kind(  # noqa: PLR0913 - one call is a whole test
    kind: KindClass | str,
    category: str | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    plugins: Iterable[plugin_door.Plugin] = (),
    width: int = 6,
    gradcheck: bool = True,
) -> None:
    """Checks that a kind satisfies the contract; takes a few seconds.

    A tiny spec contains several copies of the kind. For a part of a model, the checks are: the canonical spec reads
    back unchanged; the same spec gives the same file, and the same seed the same weights; `width` and `lower` declare
    the shapes that a forward pass has; batches of 7, 1 and 0 rows work, with each row independent of the others; all
    state is in buffers, which only training changes; gradients are right (float64); outputs, gradients, auxiliary
    losses and buffers of the plain and the optimized model are equal; `torch.compile` traces one graph. A loss must
    return one number per row, with right gradients; a balance must combine losses into one, with gradients, and have
    state only in buffers. A task's predictions must
    be those of the compiled model, its default loss finite with right gradients, and its metrics ones that exist.

    Args:
        kind: a marked class, or the name of a kind among the built-in ones and those of `plugins`.
        category: required if several categories have a kind with this name.
        settings: the settings in the spec, without `kind`. They may refer to the inputs `x` (dense, `width`), `y`
            (dense, 4) and `scene` (a domain with the values one and two), the outputs `one`, `two` (binary) and, for a
            loss, `three` (regression), the expert groups `one` and `two`, and the label columns `one` and `two`.
        plugins: as in `archspec.load`; not needed for the plugin that defines a class given as `kind`.
        width: number of features of `x`; twice as many are checked, too.
        gradcheck: False for kinds whose gradient is not that of their formula, such as straight-through estimators.

    Raises:
        AssertionError: a check failed; the message reports the expected and the actual result, and the class's place.
        LookupError: there is no kind with this name, or there are several.
        SpecError: a plugin cannot be used.
    """
    plugins = (*plugins, kind) if isinstance(kind, type) else tuple(plugins)
    registry = plugin_door.load(plugins)
    category, name = _named(registry, kind, category)
    cls = registry.kinds[category, name]
    label = f"{category} kind `{name}` ({place(cls)})"
    tiny = Tiny(label, category, name, dict(settings or {}), cls, plugins, width)
    _round_trip(tiny)
    if category == "loss":
        from archspec.testing.losses import check_loss

        check_loss(tiny, gradcheck=gradcheck)
    elif category == "task":
        from archspec.testing.tasks import check_task

        check_task(tiny, gradcheck=gradcheck)
    elif category == "balance":
        from archspec.testing.losses import check_balance

        check_balance(tiny)
    else:
        from archspec.testing.models import check_model

        check_model(tiny, gradcheck=gradcheck)


def _named(registry: Registry, kind: KindClass | str, category: str | None) -> tuple[str, str]:
    """The category and the name of the kind to check."""
    if isinstance(kind, type):
        found = [mark for mark in marks(kind) if category in {None, mark[0]}]
        what = f"class {kind.__qualname__} ({place(kind)})"
    else:
        found = [key for key in registry.kinds if key[1] == kind and category in {None, key[0]}]
        what = f"`{kind}`"
    if not found:
        raise LookupError(
            f"{what} is not a kind{f' of category `{category}`' if category else ''}; pass its plugin in `plugins`"
        )
    if len(found) > 1:
        several = ", ".join(" ".join(mark) for mark in found)
        raise LookupError(f"{what} is several kinds ({several}): choose one with `category`")
    return found[0]


def _round_trip(tiny: Tiny) -> None:
    """Checks that the spec loads, its canonical form is a fixed point, and settings round-trip through JSON."""
    try:
        spec = tiny_spec(tiny)
        again = tiny.read(spec.text())
    except SpecError as error:
        raise AssertionError(f"{tiny.label}: a tiny spec that uses it has errors: {error}") from error
    assert again.text() == spec.text(), (
        f"{tiny.label}: expected the canonical spec to read back as itself; expanded:\n{spec.text()}\n"
        f"read back:\n{again.text()}"
    )
    assert again.digest == spec.digest, f"{tiny.label}: the digest changes when the canonical spec is read back"
    made = tiny.settings_in(spec)
    data = json.loads(json.dumps(made.model_dump(mode="json", by_alias=True)))
    assert type(made).model_validate(data) == made, (
        f"{tiny.label}: expected its settings to survive JSON; {data} does not read back as {made!r}"
    )
