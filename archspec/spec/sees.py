"""The forms of `sees` in a spec: `[$task, shared]`, `all`, `{except: ctr}`, `{detach: cvr}`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic_core import core_schema

from archspec.contract import KindError

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

Path = tuple[str | int, ...]

_FORMS = "names of expert groups, `all`, {except: name} or {detach: name}"


@dataclass(frozen=True, slots=True)
class Sees:
    """One form; `at` is its path below `sees`. For `name` and `except`, `names` holds the names."""

    form: Literal["list", "name", "all", "except", "detach"]
    names: tuple[str, ...] = ()
    items: tuple[Sees, ...] = ()
    at: Path = ()

    @classmethod
    def parse(cls, data: object, at: Path = ()) -> Sees:  # noqa: PLR0911 - one answer per case
        """Reads the YAML form. Raises KindError, with the place, where the form is wrong."""
        match data:
            case Sees():
                return data
            case "all":
                return cls("all", at=at)
            case str():
                return cls("name", (data,), at=at)
            case list():
                if not data:
                    raise KindError(
                        "is empty", at=at, help="a gate sees at least one expert group; `all` names every one"
                    )
                return cls("list", items=tuple(cls.parse(item, (*at, i)) for i, item in enumerate(data)), at=at)
            case {"except": str(name), **rest} if not rest:
                return cls("except", (name,), at=(*at, "except"))
            case {"except": list(names), **rest} if not rest and all(isinstance(name, str) for name in names):
                return cls("except", tuple(names), at=(*at, "except"))
            case {"detach": inner, **rest} if not rest:
                return cls("detach", items=(cls.parse(inner, (*at, "detach")),), at=at)
            case _:
                raise KindError(f"takes {_FORMS}", at=at)

    def data(self) -> Any:  # noqa: ANN401 - YAML data
        """The YAML form."""
        match self.form:
            case "list":
                return [item.data() for item in self.items]
            case "name":
                return self.names[0]
            case "except":
                return {"except": list(self.names)}
            case "detach":
                return {"detach": self.items[0].data()}
            case _:
                return "all"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:  # noqa: ANN401 - pydantic's signature
        """Lets a settings field be typed `Sees`."""
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(cls.data)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The JSON Schema of the YAML form."""
        return {"description": _FORMS, "anyOf": [{"type": "string"}, {"type": "array"}, {"type": "object"}]}
