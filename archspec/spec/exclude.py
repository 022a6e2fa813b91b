"""The form of `exclude` in a spec: `scene`, or `{domain: scene, after: softmax}`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import core_schema

from archspec.contract import KindError

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

_FORMS = "the name of a domain input, or {domain: NAME, after: softmax}"


@dataclass(frozen=True, slots=True)
class Exclude:
    """The domain input whose value names the experts that a row excludes.

    Before the softmax, the weights of the others add up to 1; after it, to what the row's own leave.
    """

    domain: str
    after_softmax: bool = False
    path: tuple[str, ...] = ("exclude",)
    """The path of the domain's name in the block."""

    @classmethod
    def parse(cls, data: object) -> Exclude:
        """Reads the YAML form. Raises KindError, with the place, where the form is wrong."""
        match data:
            case Exclude():
                return data
            case str():
                return cls(data)
            case {"domain": str(domain), **rest} if rest.keys() <= {"after"}:
                if rest and rest["after"] != "softmax":
                    raise KindError("`after` can only be `softmax`", at=("after",), help="write `after: softmax`")
                return cls(domain, bool(rest), ("exclude", "domain"))
            case _:
                raise KindError(f"takes {_FORMS}")

    def data(self) -> Any:  # noqa: ANN401 - YAML data
        """The shortest YAML form."""
        return {"domain": self.domain, "after": "softmax"} if self.after_softmax else self.domain

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:  # noqa: ANN401 - pydantic's signature
        """Lets a settings field be typed `Exclude`."""
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(cls.data)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The JSON Schema of the YAML form."""
        return {"description": _FORMS, "anyOf": [{"type": "string"}, {"type": "object"}]}
