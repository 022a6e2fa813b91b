"""Settings: the base class of every kind; its fields are the keys a spec may write."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from archspec.contract.limits import LARGEST, MOST_LAYERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

Width = int
"""Number of features of one row of a stream: the `D` of `[B, D]`."""


Count = Annotated[int, Field(ge=1, le=LARGEST)]
Units = Annotated[tuple[Count, ...], Field(max_length=MOST_LAYERS)]
"""Sizes of layers, first to last; may be empty."""

Probability = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


Slope = Annotated[float, Field(ge=0, lt=1)]
"""The slope of `leaky_relu` below zero."""
Epsilon = Annotated[float, Field(ge=1e-12, le=1)]
"""The number that a norm adds to a variance; a smaller one would be lost in float32."""
Momentum = Annotated[float, Field(ge=0, le=1)]
"""The share of the batch in a new running statistic, as in torch (Keras's `momentum` is one minus this)."""


def added(default: Any) -> Any:  # noqa: ANN401 - a field of any type
    """A setting added after version 1 of the language: absent from the canonical spec while it has its default.

    Specs that do not use it keep their digest. `slope: float = added(0.01)` declares one.
    """
    return Field(default, exclude_if=lambda value: bool(value == default))


class KindError(ValueError):
    """Raised by a kind whose settings do not fit what surrounds the block; archspec adds the place in the file.

    Args:
        message: what is wrong, names in backticks.
        at: path of the setting that the message points to, such as `("k",)`.
        help: what to write instead.
    """

    def __init__(self, message: str, *, at: Sequence[str | int] = (), help: str = "") -> None:
        super().__init__(message)
        self.at = tuple(at)
        self.help = help


class Settings(BaseModel):
    """Base of every kind. Its fields are settings: typed, strictly checked, and immutable. Unknown keys are errors.

    A field whose default is `None` is left out of the canonical spec while it is `None`, and a field declared with
    `added` while it has its default.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)

    paper: ClassVar[str] = ""
    """Where the kind comes from; shown by `archspec kinds`."""

    formula: ClassVar[str] = ""
    """What the kind computes, in plain text; shown by `archspec kinds`."""

    title: ClassVar[str] = ""
    """The first line in the kind's box in a figure; empty: the kind's name."""

    instead: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """A setting -> the settings that mean nothing if it is written: `defaults` do not add them."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[BaseModel], handler: GetCoreSchemaHandler) -> CoreSchema:
        """Allows a YAML list as the value of a setting of type `tuple[...]`; everything else stays strict."""
        schema = handler(source)
        _let_lists_be_tuples(handler.resolve_ref_schema(schema))
        return schema

    @classmethod
    def __pydantic_init_subclass__(cls, **_: object) -> None:
        _shorten_annotations(cls)

    def detail(self) -> str:
        """The small second line in a figure's box; empty: none."""
        return ""

    def idle(self) -> dict[tuple[str | int, ...], str]:
        """Settings that have no effect given the others, by path, with the reason; writing one of them is a warning."""
        return {}


def _shorten_annotations(cls: type[Settings]) -> None:
    """Replaces the annotations of a class's own class variables by a bare `ClassVar`.

    For each subclass, pydantic evaluates all annotations that are not fields again, from their text. With 77 classes,
    that was an eighth of the work of `archspec validate` beyond importing pydantic.
    """
    own = cls.__annotations__
    own.update(dict.fromkeys(cls.__class_vars__ & own.keys(), ClassVar))


_shorten_annotations(Settings)  # pydantic calls the method above only for subclasses


def _let_lists_be_tuples(schema: Any) -> None:  # noqa: ANN401 - any part of a schema
    if isinstance(schema, dict):
        if schema.get("type") == "tuple":
            schema["strict"] = False
        schema = schema.values()
    elif not isinstance(schema, list):
        return
    for part in schema:
        _let_lists_be_tuples(part)


_SIMPLE = frozenset({str, int, float, bool, type(None)})
"""Types of values that contain no others: most values among settings, so that `nested` looks for them first."""


def nested(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every value in settings with its path: their own, and those in mappings, lists and settings inside them."""
    yield path, value
    if type(value) in _SIMPLE:
        return
    inner: Iterable[tuple[str | int, object]] = ()
    if isinstance(value, Settings):
        inner = ((name, getattr(value, name)) for name in type(value).model_fields)
    elif isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, tuple | list):
        inner = enumerate(value)
    for step, item in inner:
        yield from nested(item, (*path, step))


@functools.cache
def keys_of(cls: type[Settings]) -> tuple[str, ...]:
    """The keys that a settings class takes, as a spec writes them."""
    return tuple(info.alias or name for name, info in cls.model_fields.items())
