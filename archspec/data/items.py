"""Lists of items in a column: how they are written, and which items are padding."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from archspec.data.values import NONE, NONE_OF_NAMES, Array, Mask, cleaned, is_list, is_text, lists

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

Between = Literal["any", "|", ";", ",", "tab", "blank", "brackets"]
"""The separator in lists that are written as text: `any` of these if all items are numbers; `brackets` if every list is
in brackets, so that no other separator is known."""

PADDING: Final = "-1"
"""The padding item of the language, which is recognised in every column."""
_SPLIT: Final[dict[Between, str]] = {"any": r"[\s|;,]+", "|": r"\|", ";": ";", ",": ",", "tab": "\t", "blank": r"\s+"}
_WORDS: Final[dict[Between, str]] = {
    "any": "split at spaces, | ; ,", "tab": "split at tabs", "blank": "split at spaces", "brackets": "in brackets",
}  # fmt: skip
NAMED: Final = {"\t": "tab", " ": "blank"}
"""Separators by their names on the command line."""
_MARK: Final = "\x1f"  # the ASCII unit separator, which does not occur in texts
_QUOTED: Final = r"""^(?s:\s*(\[.*['"].*\]|\(.*['"].*\)|\{.*['"].*\})\s*)$"""
"""Brackets of any kind around items in quotes: PostgreSQL writes arrays in braces."""
_SIMPLE: Final = "|".join(
    rf"^\s*[\[({{]\s*{quote}[^'\"\\]*{quote}(\s*,\s*{quote}[^'\"\\]*{quote})*\s*,?\s*[\])}}]\s*$"
    for quote in ("'", '"')
)
"""The texts among those whose items contain no quotes or backslashes."""
_BARE: Final = r"^\s*[\[({][^'\"\[\](){}]*[\])}]\s*$"
"""Brackets around items without quotes."""
BRACKETED: Final = f"{_BARE}|{_QUOTED}"
"""Texts in which the separators of a column have no meaning."""
_ITEM: Final = re.compile(r"""\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^,'"]+))\s*,?""")


class ListForm(BaseModel):
    """How the lists of a column are written; `padding` are the texts of padding items, in addition to missing ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    between: Between | None = None
    """None: no list was written as text."""
    separator: str | None = None
    """The declared separator, which splits every text, whatever else the texts contain."""
    names: bool = False
    """Whether items are names, so that `NA` is a value and not missing."""
    padding: tuple[str, ...] = (PADDING,)

    @property
    def none(self) -> tuple[str, ...]:
        """The texts for a missing item, among names without `NA`."""
        return NONE_OF_NAMES if self.names else NONE

    def text(self) -> str:
        """How lists are read; empty if there is nothing to report."""
        between = _WORDS.get(self.between, f"split at {self.between}") if self.between else ""
        between = between if self.separator is None else f"split at {NAMED.get(self.separator, self.separator)}"
        padding = ", ".join(value for value in self.padding if value != PADDING)
        return "; ".join(filter(None, (between, f"{padding} is padding" if padding else "")))

    def whole(self, array: Array) -> Array:
        """The lists `[N]` with all their items; a missing value is an empty list.

        Lists may be in brackets, as JSON and Python write them; then items in quotes are not split.
        """
        return array if is_list(array) else self._split(cleaned(array, self.none))

    def real(self, array: Array) -> Array:
        """The lists `[N]` without missing and padding items; all items if there is no padding."""
        array = self.whole(array)
        if not self.padding:
            return array
        offsets, items = lists(array)
        return kept(offsets, cleaned(items, self.none), ~self._unread(items))

    def marked(self, array: Array) -> tuple[NDArray[np.int64], Array, Mask]:
        """Where each row's list begins among all items, `[N + 1]`, these items, and which are missing or padding.

        The latter are missing values among the items.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        offsets, items = lists(self.whole(array))
        none = self._unread(items)
        items = cleaned(items, self.none)
        return offsets, pc.if_else(pa.array(none), pa.scalar(None, items.type), items), none

    def _unread(self, items: Array) -> Mask:
        """Which items are missing or padding."""
        items = cleaned(items, self.none)
        none: Mask = items.is_null().to_numpy(zero_copy_only=False)
        for value in self.padding:
            none = none | equal(items, value)
        return none

    def _split(self, array: Array) -> Array:
        """Texts as lists of texts."""
        import pyarrow as pa
        import pyarrow.compute as pc

        array = pc.cast(array, pa.string())
        if self.separator is not None:
            return pc.split_pattern(array, self.separator)
        bare = pc.match_substring_regex(array, _BARE)
        inner = pc.utf8_trim(array, " \t[](){}")
        between = self.between or "any"
        if between == "any":
            marked = pc.replace_substring_regex(pc.utf8_trim(inner, " \t\r\n|;,"), _SPLIT["any"], _MARK)
        else:
            # In brackets without quotes, commas separate items; numpy writes spaces.
            commas = pc.replace_substring(inner, ",", _MARK)
            blanks = pc.replace_substring_regex(inner, _SPLIT["blank"], _MARK)
            in_brackets = pc.if_else(pc.match_substring(inner, ","), commas, blanks)
            marked = pc.if_else(
                bare, in_brackets, pc.replace_substring_regex(array, _SPLIT.get(between, _SPLIT["blank"]), _MARK)
            )
        simple = pc.match_substring_regex(array, _SIMPLE)
        marked = pc.if_else(simple, _without_quotes(array), marked)
        quoted = pc.and_(pc.match_substring_regex(array, _QUOTED), pc.invert(simple))
        if pc.any(quoted).as_py():
            read = [_MARK.join(quoted_items(text)) for text in array.filter(quoted).to_pylist()]
            marked = pc.replace_with_mask(marked, pc.fill_null(quoted, fill_value=False), pa.array(read, pa.string()))
        marked = pc.if_else(pc.equal(marked, ""), pa.scalar(None, pa.string()), marked)
        return pc.split_pattern(marked, _MARK)


def kept(offsets: NDArray[np.int64], items: Array, keep: Mask) -> Array:
    """Lists of those items that are kept."""
    import pyarrow as pa

    if not keep.all():
        offsets = np.concatenate([[0], np.cumsum(keep)])[offsets]
        items = items.filter(pa.array(keep))
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), items)


def _without_quotes(array: Array) -> Array:
    """Converts lists in brackets, of quoted items without quotes in them, to bare items with marks between them."""
    import pyarrow.compute as pc

    begun = pc.replace_substring_regex(array, r"^\s*[\[({]\s*['\"]", "")
    ended = pc.replace_substring_regex(begun, r"['\"]\s*,?\s*[\])}]\s*$", "")
    return pc.replace_substring_regex(ended, r"['\"]\s*,\s*['\"]", _MARK)


def quoted_items(text: str) -> list[str]:
    """The items of a list as JSON or Python write it; a missing one is empty.

    >>> quoted_items("['Film Noir', 'y', None]"), quoted_items('["a, b", 3, null]')
    (['Film Noir', 'y', ''], ['a, b', '3', ''])
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        found = [_of_python(match) for match in _ITEM.finditer(text.strip()[1:-1])]
    return ["" if item is None else item if isinstance(item, str) else json.dumps(item) for item in found]


def _of_python(match: re.Match[str]) -> str | None:
    """An item of a list that Python wrote."""
    quoted = match[1] if match[1] is not None else match[2]
    if quoted is not None:
        return re.sub(r"\\(.)", r"\1", quoted)
    bare = match[3].strip()
    return None if bare == "None" else bare


def equal(items: Array, value: str) -> Mask:
    """Which items equal a value that is given as a text; whole numbers are equal however they are written."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind: Any = items.type
    if pa.types.is_null(kind):
        return np.zeros(len(items), dtype=np.bool_)
    if is_text(items):
        found = pc.is_in(items, value_set=pa.array([value, f"{value}.0"], kind))
    else:
        try:
            number = pa.scalar(int(value) if value.lstrip("-").isdecimal() else float(value))
            found = pc.fill_null(pc.equal(items, number.cast(kind)), fill_value=False)
        except (ValueError, OverflowError, pa.ArrowException):  # a text, or a number that the type does not hold
            return np.zeros(len(items), dtype=np.bool_)
    mask: Mask = found.to_numpy(zero_copy_only=False)
    return mask


def without(array: Array, values: Iterable[str]) -> Array:
    """A column in which some values, given as texts, are missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    bare = cleaned(array, ("",))
    found = np.zeros(len(bare), dtype=np.bool_)
    for value in values:
        found = found | equal(bare, value)
    return pc.if_else(pa.array(found), pa.scalar(None, bare.type), bare)
