"""The forms of `exclude` and `only` in a spec: `scene`, or `{domain: scene, after: softmax}`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from archspec.contract.forms import Form
from archspec.contract.settings import KindError

if TYPE_CHECKING:
    from collections.abc import Collection


@dataclass(frozen=True, slots=True)
class Exclude(Form):
    """The domain input whose value names the experts that a row excludes.

    Before the softmax, the weights of the others add up to 1; after it, to what the row's own leave.
    """

    forms: ClassVar[str] = "the name of a domain input, or {domain: NAME, after: softmax}"
    json_types: ClassVar[tuple[str, ...]] = ("string", "object")
    setting: ClassVar[str] = "exclude"
    said: ClassVar[str] = "not own"
    """The words before the domain's name in a figure."""

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
                raise KindError(f"takes {cls.forms}")

    def data(self) -> Any:  # noqa: ANN401 - YAML data
        """The shortest YAML form."""
        return {"domain": self.domain, "after": "softmax"} if self.after_softmax else self.domain


class Only(Exclude):
    """The domain input whose value names the only experts of a domain that a row sees.

    Experts that are not named after a value of the domain are seen by every row.
    """

    __slots__ = ()
    setting: ClassVar[str] = "only"
    said: ClassVar[str] = "only own"

    def shows(self, group: str, value: str, values: Collection[str]) -> bool:
        """Whether rows of the domain `value`, one of `values`, see the experts of a group."""
        return group == value or group not in values
