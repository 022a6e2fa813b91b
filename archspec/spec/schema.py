"""The language as JSON Schema, for editors, and the settings of a class in words.

The schema helps with writing: it knows sections, kinds, settings and their types. Where a value may come from
`defaults`, `extends` or a variable, it accepts more than the language does; `archspec validate` decides.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from archspec.contract import Settings
from archspec.contract.limits import LARGEST
from archspec.contract.registry import IDENTIFIER
from archspec.spec.categories import ABOUT, BOTTOM, COMMON, DEFAULTS, kinds_of
from archspec.spec.sections import SECTIONS
from archspec.spec.spec import VERSION

if TYPE_CHECKING:
    from archspec.contract import Registry

Schema = dict[str, Any]

NOTES: Schema = {"^x-": {}}
"""Keys for the author's use, allowed everywhere."""

_TEXT = {"type": "string"}
_NAMES = {"type": "array", "items": _TEXT}


def json_schema(registry: Registry) -> Schema:
    """The JSON Schema (draft 7) of specs that use the kinds of a registry."""
    definitions: Schema = {}
    ref = {category: {"$ref": f"#/definitions/{category}"} for category in COMMON}
    for category in COMMON:
        more = {"loss": _losses(ref["loss"], registry)} if category == "task" else {}
        definitions[category] = _block(category, registry, definitions, more)
    level = _object({"repeat": {}, "experts": _named(ref["expert"]), "gates": _named(ref["gate"])})
    sections: Schema = {
        "archspec": {"const": VERSION},
        "name": {"type": "string", "pattern": f"^{IDENTIFIER.pattern}$"},
        "about": _TEXT,
        "extends": _TEXT,
        "requires": _NAMES,
        "defaults": _object({section: {"type": "object"} for section in DEFAULTS.values()}),
        "sets": _named(_NAMES),
        "inputs": _named(ref["input"]),
        "groups": _named(_NAMES),
        **{section: _named(ref[category]) for section, category in BOTTOM.items()},
        "tasks": _named(ref["task"]),
        "levels": {"type": "array", "items": {"anyOf": [level, {"type": "null"}]}},
        "towers": _named({"anyOf": [ref["tower"], _switch(ref["tower"])]}),
        "fusion": _named(ref["fusion"]),
        "balance": {"anyOf": [{"enum": list(registry.names("balance"))}, ref["balance"]]},
    }
    described = {key: {"description": ABOUT[key], **sections[key]} for key in SECTIONS}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"archspec, version {VERSION}",
        **_object(described),
        "required": ["archspec"],
        "definitions": definitions,
    }


def settings_of(cls: type[Settings]) -> list[dict[str, Any]]:
    """The settings of a class in words: `name, type, required, default, about`."""
    schema = cls.model_json_schema(by_alias=True)
    about = attribute_docs(cls)
    fields = sorted(cls.model_fields.items(), key=lambda field: field[1].exclude_if is not None)  # later ones last
    return [
        {
            "name": info.alias or name,
            "type": in_words(schema["properties"][info.alias or name]),
            "required": info.is_required(),
            "default": schema["properties"][info.alias or name].get("default"),
            "about": about.get(name, ""),
        }
        for name, info in fields
    ]


def attribute_docs(cls: type) -> dict[str, str]:
    """The docstrings of the attributes of a class and of its bases, by attribute."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not issubclass(base, Settings) or base is Settings:
            continue
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        except (OSError, SyntaxError):  # a class of a notebook has no source
            continue
        statements = getattr(body, "body", [])
        for statement, below in pairwise(statements):
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                text = below.value if isinstance(below, ast.Expr) else None
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    found[statement.target.id] = inspect.cleandoc(text.value)
    return found


WORDS = {"integer": "whole number", "string": "text", "boolean": "true | false", "object": "mapping"}


def in_words(schema: Schema) -> str:  # noqa: PLR0911 - one line per form
    """A type in words: `whole number >= 1`, `softmax | sigmoid`, `list of ...`."""
    match schema:
        case {"description": str(words), "anyOf": list(_)}:
            return words
        case {"anyOf": list(options)}:
            return " | ".join(in_words(option) for option in options if option.get("type") != "null")
        case {"enum": list(values)}:
            return " | ".join(map(str, values))
        case {"$ref": str(path)}:
            return f"mapping ({path.rpartition('/')[2].lower()})"
        case {"type": "array", "items": dict(items)}:
            return f"list of {in_words(items)}"
        case {"type": str(kind)}:
            return WORDS.get(kind, kind) + _bounds(schema)
        case _:
            return str(schema.get("const", "anything"))


def _bounds(schema: Schema) -> str:
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    return "".join(f" {sign} {schema[key]}" for key, sign in signs.items() if schema.get(key, LARGEST) != LARGEST)


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "patternProperties": NOTES, "additionalProperties": False}


def _named(entry: Schema) -> Schema:
    """A mapping from names (or variables) to entries; `null` means all defaults, or removes an extended entry."""
    either = {"anyOf": [entry, {"type": "null"}]}
    return {"type": ["object", "null"], "patternProperties": NOTES, "additionalProperties": either}


def _properties(cls: type[Settings], definitions: Schema) -> Schema:
    """The settings of a class; every number and word may also be a variable."""
    schema = cls.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    about = attribute_docs(cls)
    names = {info.alias or name: name for name, info in cls.model_fields.items()}
    for name, nested in schema.get("$defs", {}).items():
        definitions[name] = {**nested, "patternProperties": NOTES, "required": []}
    return {
        key: {"description": about[names[key]], **value} if about.get(names[key]) and "$ref" not in value else value
        for key, value in schema["properties"].items()
    }


def _block(category: str, registry: Registry, definitions: Schema, more: Schema) -> Schema:
    """A block: the settings of its kind; without a `kind`, which may come from `defaults`, those of any kind.

    `more` holds the schemas of keys that are no settings.
    """
    common = _properties(COMMON[category], definitions) | more
    if "decay" in common:
        common["decay"] = {"anyOf": [{"type": "number"}, common["decay"]]}
    choices: list[Schema] = []
    meanings: dict[str, list[Schema]] = {key: [schema] for key, schema in common.items()}
    for kind in registry.names(kinds_of(category)):
        cls = registry.kinds[kinds_of(category), kind]
        own = _properties(cls, definitions) | common
        for key in own.keys() - common.keys():
            meanings.setdefault(key, []).append(own[key])
        about = (inspect.getdoc(cls) or "").partition("\n")[0]
        definitions[f"{category}.{kind}"] = {"description": about, **_object({"kind": {"const": kind}, **own})}
        chosen = {"properties": {"kind": {"const": kind}}, "required": ["kind"]}
        choices.append({"if": chosen, "then": {"$ref": f"#/definitions/{category}.{kind}"}})
    known = {"enum": list(registry.names(kinds_of(category)))}
    either = {key: {"anyOf": schemas} for key, schemas in sorted(meanings.items())}
    without = {"if": {"not": {"required": ["kind"]}}, "then": _object(either)}
    return {"type": "object", "properties": {"kind": known}, "allOf": [*choices, without]}


def _losses(loss: Schema, registry: Registry) -> Schema:
    """One loss, by its name or as a block, or a list of losses."""
    one = {"anyOf": [{"enum": list(registry.names("loss"))}, loss]}
    return {"anyOf": [one, {"type": "array", "items": one}]}


def _switch(tower: Schema) -> Schema:
    output = {"enum": ["binary", "regression"]}
    return {**_object({"switch": _TEXT, "cases": _named(tower), "output": output}), "required": ["switch"]}
