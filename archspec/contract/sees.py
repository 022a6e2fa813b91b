"""The forms of `sees` in a spec: `[$task, shared]`, `all`, `{except: ctr}`, `{detach: cvr}`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from archspec.contract.forms import Form
from archspec.contract.settings import KindError

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Sees(Form):
    """One form; `at` is its path below `sees`. For `name` and `except`, `names` holds the names."""

    forms: ClassVar[str] = "names of expert groups, `all`, {except: name} or {detach: name}"
    json_types: ClassVar[tuple[str, ...]] = ("string", "array", "object")

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
                        "is empty", at=at, help="a gate must see at least one expert group; `all` means all of them"
                    )
                return cls("list", items=tuple(cls.parse(item, (*at, i)) for i, item in enumerate(data)), at=at)
            case {"except": str(name), **rest} if not rest:
                return cls("except", (name,), at=(*at, "except"))
            case {"except": list(names), **rest} if not rest and all(isinstance(name, str) for name in names):
                return cls("except", tuple(names), at=(*at, "except"))
            case {"detach": inner, **rest} if not rest:
                return cls("detach", items=(cls.parse(inner, (*at, "detach")),), at=at)
            case _:
                raise KindError(f"takes {cls.forms}", at=at)

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
