"""References: how a spec names the streams that a block reads (`from`, `selector`, `modulate.selector`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic_core import core_schema

from archspec.contract.forms import Form
from archspec.contract.settings import KindError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import GetCoreSchemaHandler

Combine = Literal["concat", "sum", "detach"]
Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Name:
    """One name inside a reference; `at` is its path below the setting that contains the reference."""

    text: str
    at: Path = ()


@dataclass(frozen=True, slots=True)
class Reference(Form):
    """A stream made of named streams: concatenated, added, or with the gradient stopped; these can be nested."""

    forms: ClassVar[str] = "a name, a list of names, {sum: [...]} or {detach: ...}"
    json_types: ClassVar[tuple[str, ...]] = ("string", "array", "object")

    combine: Combine
    items: tuple[Reference | Name, ...]
    at: Path = ()

    @classmethod
    def parse(cls, data: object, at: Path = ()) -> Reference:
        """Reads the YAML form. Raises KindError, with the place, if the form is wrong."""
        match data:
            case Reference():
                return data
            case str():
                return cls("concat", (Name(data, at),), at)
            case [] | {"sum": []}:
                raise KindError("is empty", at=at, help="list what to read")
            case list():
                return cls("concat", tuple(_item(item, (*at, i)) for i, item in enumerate(data)), at)
            case {"sum": list(items), **rest} if not rest:
                return cls("sum", tuple(_item(item, (*at, "sum", i)) for i, item in enumerate(items)), at)
            case {"detach": inner, **rest} if not rest:
                return cls("detach", (_item(inner, (*at, "detach")),), at)
            case _:
                raise KindError(f"takes {cls.forms}", at=at)

    def names(self) -> Iterator[Name]:
        """Every name in the reference, in order."""
        for item in self.items:
            if isinstance(item, Name):
                yield item
            else:
                yield from item.names()

    def data(self) -> Any:  # noqa: ANN401 - YAML data
        """The canonical YAML form: the shortest one with this meaning."""
        items = [item.text if isinstance(item, Name) else item.data() for item in self.items]
        match self.combine:
            case "sum":
                return {"sum": items}
            case "detach":
                return {"detach": items[0]}
            case _:
                flat = [part for item in items for part in (item if isinstance(item, list) else [item])]
                return flat[0] if len(flat) == 1 else flat


def _item(data: object, at: Path) -> Reference | Name:
    return Name(data, at) if isinstance(data, str) else Reference.parse(data, at)


class _Checked(str):
    """A name in a setting, which the graph checks."""

    __slots__ = ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:  # noqa: ANN401 - pydantic's signature
        """Lets a settings field have the type `InputName`."""
        return core_schema.no_info_after_validator_function(
            cls, core_schema.str_schema(strict=True), serialization=core_schema.to_string_ser_schema()
        )


class InputName(_Checked):
    """The name of an input, in a setting that takes the input itself rather than a stream."""

    __slots__ = ()


class DomainName(InputName):
    """The name of a domain input."""

    __slots__ = ()


class TableName(_Checked):
    """The name of an input whose embedding table another input also reads."""

    __slots__ = ()


class OutputName(_Checked):
    """The name of an output (a tower or a fusion), in a setting of a loss."""

    __slots__ = ()


class GroupName(_Checked):
    """The name of a column of the batch whose values group rows, in a setting of a loss: `archspec train` loads it."""

    __slots__ = ()


class ColumnName(_Checked):
    """The name of a column of the batch, in a setting of a loss or an input: `archspec train` loads that column."""

    __slots__ = ()
