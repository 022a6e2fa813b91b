"""Values that a spec may write in several forms, such as a name or a list of names."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic_core import core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue


class Form:
    """The base class of such values: a setting may have the type of a subclass."""

    __slots__ = ()

    forms: ClassVar[str]
    """The forms in words, for messages and the JSON Schema."""
    json_types: ClassVar[tuple[str, ...]]
    """The JSON types of the forms."""

    @classmethod
    @abstractmethod
    def parse(cls, data: object) -> Self:
        """Reads one of the forms. Raises KindError, with the place, if the data has another form."""

    @abstractmethod
    def data(self) -> Any:  # noqa: ANN401 - YAML data
        """The canonical form."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:  # noqa: ANN401 - pydantic's signature
        """Validates with `parse`, and dumps with `data`."""
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(cls.data)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """The forms in words, and their JSON types."""
        return {"description": cls.forms, "anyOf": [{"type": name} for name in cls.json_types]}
