"""The test kit of kinds: `check_kind` is the one line that a plugin's test needs.

Lives here: tiny specs that use a kind, and what is measured on them. Knows every stage, from spec to torch.
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


def check_kind(  # noqa: PLR0913 - one line of a test says all that there is to say
    kind: KindClass | str,
    category: str | None = None,
    *,
    settings: Mapping[str, Any] | None = None,
    plugins: Iterable[plugin_door.Plugin] = (),
    width: int = 6,
    gradcheck: bool = True,
) -> None:
    """Checks that a kind keeps what archspec builds on; a few seconds.

    Several copies of the kind stand in a tiny spec. Checked are: the canonical spec reads back as itself; one spec
    gives one file and one seed one set of weights; `width` and `lower` say the shapes that a forward pass has;
    batches of 7, 1 and 0 rows, each row on its own; no state besides buffers, which only training changes; gradients
    (float64); plain against optimized outputs, gradients, auxiliary losses and buffers; one graph for `torch.compile`.
    Of a loss: one number per row, and gradients; of a balance: one loss from many, its state, and gradients.

    Args:
        kind: a marked class, or the name of a kind among the built-in ones and those of `plugins`.
        category: needed where the kind's name stands in several categories.
        settings: what the spec writes besides `kind`. It may name the inputs `x` (dense, `width`), `y` (dense, 4) and
            `scene` (a domain with the values one and two), the outputs `one`, `two` (binary) and, of a loss, `three`
            (regression), the expert groups `one` and `two`, and the label columns `one` and `two`.
        plugins: as in `archspec.load`; the plugin that defines a class given as `kind` is found without.
        width: number of features of `x`; checked is twice as many, too.
        gradcheck: False for kinds whose gradient is not that of their formula, such as straight-through estimators.

    Raises:
        AssertionError: what was expected, what was found, and file and line of the class.
        LookupError: no kind, or several, of this name.
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
    elif category == "balance":
        from archspec.testing.losses import check_balance

        check_balance(tiny)
    else:
        from archspec.testing.models import check_model

        check_model(tiny, gradcheck=gradcheck)


def _named(registry: Registry, kind: KindClass | str, category: str | None) -> tuple[str, str]:
    """The one category and name that are meant."""
    if isinstance(kind, type):
        found = [mark for mark in marks(kind) if category in {None, mark[0]}]
        what = f"class {kind.__qualname__} ({place(kind)})"
    else:
        found = [key for key in registry.kinds if key[1] == kind and category in {None, key[0]}]
        what = f"`{kind}`"
    if not found:
        raise LookupError(
            f"{what} is no kind{f' of category `{category}`' if category else ''}; name its plugin in `plugins`"
        )
    if len(found) > 1:
        several = ", ".join(" ".join(mark) for mark in found)
        raise LookupError(f"{what} is several kinds ({several}): say which by `category`")
    return found[0]


def _round_trip(tiny: Tiny) -> None:
    """The spec loads; its canonical form is a fixed point; settings survive the way through JSON."""
    try:
        spec = tiny_spec(tiny)
        again = tiny.read(spec.text())
    except SpecError as error:
        raise AssertionError(f"{tiny.label}: a tiny spec that uses it is refused: {error}") from error
    assert again.text() == spec.text(), (
        f"{tiny.label}: expected the canonical spec to read back as itself; expanded:\n{spec.text()}\n"
        f"read back:\n{again.text()}"
    )
    assert again.digest == spec.digest, f"{tiny.label}: the digest changes when the canonical spec is read back"
    made = tiny.settings_in(spec)
    data = json.loads(json.dumps(made.model_dump(mode="json", by_alias=True)))
    assert type(made).model_validate(data) == made, (
        f"{tiny.label}: expected its settings to survive JSON; {data} does not give {made!r} again"
    )
