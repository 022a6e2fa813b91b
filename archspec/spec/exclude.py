"""The forms of `exclude` and `only` in a spec: `scene`, or `{domain: scene, after: softmax}`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic_core import core_schema

from archspec.contract import KindError

if TYPE_CHECKING:
    from collections.abc import Collection

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

_FORMS = "the name of a domain input, or {domain: NAME, after: softmax}"


@dataclass(frozen=True, slots=True)
class Exclude:
    """The domain input whose value names the experts that a row excludes.

    Before the softmax, the weights of the others add up to 1; after it, to what the row's own leave.
    """

    setting: ClassVar[str] = "exclude"
    said: ClassVar[str] = "not own"
    """What a figure says before the domain's name."""
    domain: str
    after_softmax: bool = False
    inside: tuple[str, ...] = ()
    """The path of the domain's name in the setting."""

    @property
    def path(self) -> tuple[str, ...]:
        """The path of the domain's name in the block."""
        return (self.setting, *self.inside)

    def shows(self, group: str, value: str, values: Collection[str]) -> bool:
        """Whether rows of the domain `value`, one of `values`, see the experts of a group."""
        return group != value

    @classmethod
    def parse(cls, data: object) -> Self:
        """Reads the YAML form. Raises KindError, with the place, where the form is wrong."""
        match data:
            case cls():
                return data
            case str():
                return cls(data)
            case {"domain": str(domain), **rest} if rest.keys() <= {"after"}:
                if rest and rest["after"] != "softmax":
                    raise KindError("`after` can only be `softmax`", at=("after",), help="write `after: softmax`")
                return cls(domain, bool(rest), ("domain",))
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


class Only(Exclude):
    """The domain input whose value names the only experts of a domain that a row sees.

    Experts named after no value of the domain are seen by every row.
    """

    __slots__ = ()
    setting: ClassVar[str] = "only"
    said: ClassVar[str] = "only own"

    def shows(self, group: str, value: str, values: Collection[str]) -> bool:
        """Whether rows of the domain `value`, one of `values`, see the experts of a group."""
        return group == value or group not in values
