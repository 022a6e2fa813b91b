"""The JSON Schema of the language, interpreted as an editor would."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from archspec.plugins import load
from archspec.spec.schema import in_words, json_schema

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json_schema(load())
TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None), "integer": int,
    "number": (int, float),
}  # fmt: skip


def fits(value: Any, schema: dict[str, Any]) -> bool:  # noqa: ANN401 - JSON
    """Whether a value is valid according to the schema's keywords, interpreted strictly by draft 7."""
    if "$ref" in schema:
        return fits(value, SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]])
    return all(_RULES[key](value, schema) for key in schema if key in _RULES)


def _type(value: Any, schema: dict[str, Any]) -> bool:  # noqa: ANN401 - JSON
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return any(isinstance(value, TYPES[name]) and (name == "boolean") == isinstance(value, bool) for name in names)


def _entries(value: Any, schema: dict[str, Any]) -> bool:  # noqa: ANN401 - JSON
    if not isinstance(value, dict):
        return True
    patterns = schema.get("patternProperties", {})
    for key, inner in value.items():
        own = [schema["properties"][key]] if key in schema.get("properties", {}) else []
        own += [rule for pattern, rule in patterns.items() if re.search(pattern, key)]
        more = schema.get("additionalProperties", True)
        own = own or ([more] if isinstance(more, dict) else [])
        if not own and more is False:
            return False
        if not all(fits(inner, rule) for rule in own):
            return False
    return True


def _branch(value: Any, schema: dict[str, Any]) -> bool:  # noqa: ANN401 - JSON
    return not fits(value, schema["if"]) or fits(value, schema["then"])


_RULES: dict[str, Any] = {
    "type": _type,
    "properties": _entries,
    "additionalProperties": _entries,
    "enum": lambda value, schema: value in schema["enum"],
    "const": lambda value, schema: value == schema["const"],
    "required": lambda value, schema: not isinstance(value, dict) or set(schema["required"]) <= value.keys(),
    "anyOf": lambda value, schema: any(fits(value, each) for each in schema["anyOf"]),
    "allOf": lambda value, schema: all(fits(value, each) for each in schema["allOf"]),
    "not": lambda value, schema: not fits(value, schema["not"]),
    "if": _branch,
    "items": lambda value, schema: not isinstance(value, list) or all(fits(each, schema["items"]) for each in value),
    "minimum": lambda value, schema: not isinstance(value, int | float) or value >= schema["minimum"],
    "exclusiveMinimum": lambda value, schema: not isinstance(value, int | float) or value > schema["exclusiveMinimum"],
    "exclusiveMaximum": lambda value, schema: not isinstance(value, int | float) or value < schema["exclusiveMaximum"],
    "pattern": lambda value, schema: not isinstance(value, str) or bool(re.search(schema["pattern"], value)),
}


def read(name: str) -> Any:  # noqa: ANN401 - YAML
    """A spec as plain data."""
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", sorted((ROOT / "specs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_spec_fits(path: Path) -> None:
    """The specs of the repository are valid as they are written."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "requires" not in data:
        assert fits(data, SCHEMA)


@pytest.mark.parametrize(
    "name",
    ["section_unknown", "unknown_key_expert", "unknown_key_gate", "unknown_kind_gate", "units_number", "count_zero",
     "activation_unknown", "tasks_list", "unknown_key_level", "version_newer", "about_list", "repeat_kind"],
)  # fmt: skip
def test_mistakes_are_seen(name: str) -> None:
    """Misspelt keys and kinds, and values of the wrong type or range, are invalid."""
    path = ROOT / "tests" / "bad" / f"{name}.yaml"
    data = (
        read(f"tests/bad/{name}.yaml")
        if path.exists()
        else {"archspec": 1, "levels": [{"experts": {"e": {"kind": 3}}}]}
    )
    assert not fits(data, SCHEMA)


def test_notes_are_free() -> None:
    """Keys that begin with `x-` are allowed everywhere."""
    data = read("specs/ple.yaml")
    data["x-note"] = data["inputs"]["x-note"] = data["towers"]["$task"]["x-note"] = ["anything"]
    assert fits(data, SCHEMA)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1}, "whole number >= 1"),
        ({"type": "array", "items": {"type": "number"}}, "list of number"),
        ({"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}]}, "a | b"),
        ({"$ref": "#/$defs/Modulation"}, "mapping (modulation)"),
        ({}, "anything"),
    ],
)
def test_types_in_words(schema: dict[str, Any], words: str) -> None:
    """Types are described in plain words."""
    assert in_words(schema) == words
