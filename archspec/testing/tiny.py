"""One tiny spec per category, with several copies of a kind."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from archspec.contract import FusionKind
from archspec.graph.load import load

if TYPE_CHECKING:
    from archspec.contract import Settings
    from archspec.plugins import Plugin
    from archspec.spec.spec import Spec

TASKS = {"one": {"kind": "binary"}, "two": {"kind": "binary"}}
TOWERS = {"one": {"from": "x"}, "two": {"from": "x"}}


@dataclass(frozen=True, slots=True)
class Tiny:
    """A kind under test, and the spec around it."""

    label: str
    """The kind in messages: category, name, file and line."""
    category: str
    name: str
    settings: dict[str, Any]
    cls: Any
    plugins: tuple[Plugin, ...]
    width: int

    def text(self) -> str:
        """The spec as JSON, which is also YAML."""
        return json.dumps(self.data(), indent=1)

    def read(self, text: str) -> Spec:
        """A Spec with the kind's plugins. Raises SpecError."""
        return load(text, plugins=self.plugins)

    def twice_as_wide(self) -> Tiny:
        """A copy with twice as many features in `x`."""
        return replace(self, width=2 * self.width)

    def data(self) -> dict[str, Any]:
        """The spec as data."""
        base: dict[str, Any] = {
            "archspec": 1,
            "name": "tiny",
            "inputs": {
                "x": {"kind": "dense", "dim": self.width},
                "y": {"kind": "dense", "dim": 4},
                "scene": {"kind": "domain", "values": ["one", "two"], "dim": 2},
            },
            "tasks": TASKS,
            "towers": TOWERS,
        }
        own = {"kind": self.name, **self.settings}
        sections: dict[str, Any] = getattr(self, f"_{self.category}")(own, base)
        return base | sections

    def settings_in(self, spec: Spec) -> Settings:
        """The kind's settings in a loaded spec."""
        made: Settings
        match self.category:
            case "input":
                made = spec.inputs["made"].settings
            case "expert":
                made = spec.levels[0].experts["one"].settings
            case "gate":
                made = spec.levels[0].gates["one"].settings
            case "feature_gate":
                made = spec.feature_gates["first"].settings
            case "tower":
                made = spec.towers["one"].settings  # type: ignore[union-attr] # the test's spec has no switch
            case "fusion":
                made = spec.fusion["fused"].settings
            case "task":
                made = spec.tasks["one"].settings
            case "loss":
                made = spec.tasks["one"].losses[0].settings
            case _:
                made = spec.balance.settings
        return made

    def _input(self, own: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
        """Two inputs of the kind, and one whose table they may share: `{"table": "ids"}`."""
        ids = {"kind": "sparse", "vocab": 9, "dim": 4}
        inputs = {**base["inputs"], "ids": ids, "made": own, "more": {**own, "column": "more"}}
        read, blocks = {"made": "made", "more": "more"}, {}
        if own.get("pool") == "none":
            read = {name: f"{name}_pooled" for name in read}
            blocks = {"blocks": {pooled: {"kind": "pool", "from": name} for name, pooled in read.items()}}
        towers = {"one": {"from": [read["made"], "x"]}, "two": {"from": [read["more"], "ids", "x"]}}
        return {"inputs": inputs, **blocks, "towers": towers}

    def _expert(self, own: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
        """Two groups that read `x`, or fields or tokens of its width, as the kind requires; tokens are then pooled."""
        source = {"rows": "x", "fields": ["x", "other"], "tokens": "events"}[self.cls.takes]
        inputs = dict(base["inputs"])
        if self.cls.takes == "fields":
            inputs["other"] = {"kind": "dense", "dim": self.width}
        if self.cls.takes == "tokens":
            inputs["events"] = {"kind": "sequence", "vocab": 9, "dim": self.width, "length": 3, "pool": "none"}
        group = {"from": source, "count": 2, **own}
        gates: dict[str, Any] = {"one": {"sees": "all"}, "two": {"sees": "all"}}
        levels: list[dict[str, Any]] = [{"experts": {"one": group, "two": group}, "gates": gates}]
        if self._gives_tokens():
            pooled = {f"pooled_{name}": {"kind": "pool", "from": name} for name in gates}
            levels.append({"experts": pooled, "gates": {name: {"sees": "all", "selector": "x"} for name in gates}})
        return {"inputs": inputs, "levels": levels, "towers": {"one": {}, "two": {}}}

    def _gives_tokens(self) -> bool:
        """Whether experts of the tested kind return tokens with these settings."""
        try:
            made = self.cls.model_validate_json(json.dumps(self.settings))
        except ValueError:  # reading the spec reports it
            return False
        return made.tokens(2) is not None

    def _gate(self, own: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
        group = {"from": "x", "count": 2, "kind": "mlp", "units": [5]}
        gate = {"sees": "all", **own}
        if self.cls.selects == "domain":
            gate = {"selector": "scene", **gate}
        level = {"experts": {"one": group, "two": group}, "gates": {"one": gate, "two": gate}}
        return {"levels": [level], "towers": {"one": {}, "two": {}}}

    def _feature_gate(self, own: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
        gate = {"from": ["x", "y"], "selector": ["x", "scene"], **own}
        return {
            "feature_gates": {"first": gate, "second": gate},
            "towers": {"one": {"from": "first"}, "two": {"from": "second"}},
        }

    def _tower(self, own: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
        tower = {"from": "x", **own}
        tasks = {**TASKS, "many": {"kind": "multiclass", "classes": 3}}
        return {"tasks": tasks, "towers": {"one": tower, "two": tower, "many": tower}}

    def _fusion(self, own: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
        fused = {"of": ["one", "two"], **own} if "of" in self.cls.model_fields else own
        if self.cls.logits is FusionKind.logits:
            return {"fusion": {"fused": fused}}
        return {"tasks": {**TASKS, "asked": {"kind": "binary"}}, "fusion": {"fused": fused, "asked": fused}}

    def _loss(self, own: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
        kind = (self.cls.tasks or ("binary",))[0]
        settings: dict[str, dict[str, Any]] = {
            "multiclass": {"classes": self.cls.outputs or 3}, "ordinal": {"classes": 3}, "quantile": {"q": 0.5},
        }  # fmt: skip
        task = {"kind": kind, **settings.get(kind, {}), "loss": own}
        return {"tasks": {**TASKS, "one": task}, "towers": {**TOWERS, "three": {"from": "x", "output": "regression"}}}

    def _task(self, own: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
        return {"tasks": {**TASKS, "one": own}}

    def _balance(self, own: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
        """Tasks that share an expert, because some balances read gradients there."""
        shared = {"from": "x", "kind": "mlp", "units": [5]}
        towers = {name: {"from": "level1.experts.shared"} for name in TOWERS}
        return {"balance": own, "levels": [{"experts": {"shared": shared}, "gates": {}}], "towers": towers}


def tiny_spec(tiny: Tiny) -> Spec:
    """The spec of a kind under test. Raises SpecError if the kind or its settings do not fit."""
    return tiny.read(tiny.text())
