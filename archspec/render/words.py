"""Settings in a figure's words: those that differ from the defaults of the node's kind.

A few settings of the field have a notation of their own (`BN`, `× 2σ(x)`); every other one is said by its name, so a
plugin's settings are said too. What a kind's `detail` says already (the export knows) is not said twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DRAWN: Final = frozenset({
    "count", "from", "sees", "selector", "residual", "like", "exclude", "only", "of", "query", "kind", "switch",
})  # fmt: skip
"""Settings that a figure shows as boxes, arrows or words elsewhere."""

ACTIVATIONS: Final = {
    "relu": "ReLU", "silu": "SiLU", "gelu": "GELU", "elu": "ELU", "leaky_relu": "leaky ReLU", "none": "linear",
    "sigmoid": "σ",
}  # fmt: skip
NOTATION: Final[dict[tuple[str, object], str]] = {
    ("norm", "batch"): "BN",
    ("norm", "layer"): "LN",
    ("transform", "linear"): "× W",
    ("trainable", False): "frozen",
    ("sparse_grad", True): "sparse gradient",
    ("every", "epoch"): "per epoch",
    **{("activation", name): word for name, word in ACTIVATIONS.items()},
}
PLACES: Final = {"input": "σ({of})", "hidden": "σ({of}) each layer", "layer_inputs": "σ({of}) each layer's input"}
SHORT: Final = {"temperature": "τ", "weight": "w", "hidden_dropout": "dropout", "weight_column": "row weight"}


def words(node: Mapping[str, Any]) -> tuple[str, ...]:
    """The settings in a node's box, one phrase each."""
    found: list[str] = []
    if node["category"] == "feature_gate":
        found += _feature_gate(node)
    if node["category"] == "gate" and _is_static(node):
        found.append("static")
    name = node.get("name", "")
    drawn = DRAWN | ({"per", "scale"} if node["category"] == "feature_gate" else set())
    for key, value in node["changed"].items():
        if key in node["unsaid"] and key not in drawn and value != name:
            found.append(_modulation(value) if key == "modulate" else _phrase(key, value))
    return (*found, *node.get("was", ()))


def _is_static(node: Mapping[str, Any]) -> bool:
    return bool(node["settings"].get("selector") == "none")


def _feature_gate(node: Mapping[str, Any]) -> Iterator[str]:
    settings = node["settings"]
    kind = {"sigmoid": "σ"}.get(node["kind"], node["kind"])
    scale = settings.get("scale", 1.0)
    factor = "" if scale == 1 else " × fields" if scale == "fields" else f" × {_value(scale)}"
    yield f"{kind} per {settings.get('per', 'field')}{factor}"


def _modulation(value: Mapping[str, Any]) -> str:
    """`× 2σ(x), rank 4`: by what the block's values are multiplied, and where."""
    scale = value.get("scale", 2.0)
    factor = "" if scale == 1 else _value(scale)
    where = PLACES.get(str(value.get("at", "hidden")), "σ({of})").format(of="s" if "selector" in value else "x")
    rest = [_phrase(key, item) for key, item in value.items() if key not in {"at", "selector", "scale", "units"}]
    units = [f"({', '.join(map(str, value['units']))})"] if value.get("units") else []
    return ", ".join([f"× {factor}{where}", *units, *rest])


def _phrase(key: str, value: object) -> str:
    if isinstance(value, str | bool) and (key, value) in NOTATION:
        return NOTATION[key, value]
    if key == "values" and isinstance(value, list):
        return _listed(value)
    name = SHORT.get(key, key.replace("_", " "))
    if isinstance(value, bool):
        return name if value else f"no {name}"
    return name if value is None else f"{name} {_value(value)}"


def _listed(names: list[object], most: int = 6) -> str:
    shown = list(map(str, names))
    return ", ".join(shown if len(shown) <= most else [*shown[: most - 2], f"+{len(shown) - most + 2}"])


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(item)}".replace("kind ", "") for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return str(value)


def task_words(node: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The words of an output about its task: kind, loss, weight, sample space, label if named differently."""
    found = [str(node["kind"])]
    for key, value in node["changed"].items():
        if key == "loss":
            found += [_loss(loss) for loss in value]
        elif key == "classes":
            found[0] = f"{value} classes" if node["kind"] == "multiclass" else f"{node['kind']}, {value} classes"
        elif key != "kind" and value != name:
            found.append(_phrase(key, value))
    return (*found, *node.get("was", ()))


def _loss(loss: Mapping[str, Any]) -> str:
    rest = ", ".join(_phrase(key, value) for key, value in loss.items() if key != "kind")
    name = str(loss["kind"]).replace("_", " ")
    return f"{name} ({rest})" if rest else name


def balance_words(balance: Mapping[str, Any]) -> str:
    """How losses are combined; empty for the plain sum."""
    words = _value({key: value for key, value in balance.items() if key != "kind"})
    name = str(balance.get("kind", "sum"))
    return "" if name == "sum" and not words else f"balance: {name}" + (f" ({words})" if words else "")
