"""Reads a file, and parses its text into a tree whose values have their places.

The YAML parser itself is imported when the first text is parsed.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from typing import IO, TYPE_CHECKING

from archspec.diagnostics import Diagnostics, Span, SpecError, remember, unusable
from archspec.files import missing
from archspec.spec.tree import Entry, Mapping, Node, Scalar, Sequence, is_empty, span_at, to_data

if TYPE_CHECKING:
    from typing import NoReturn

__all__ = [
    "MAX_BYTES",
    "STDIN",
    "Entry",
    "Mapping",
    "Node",
    "Scalar",
    "Sequence",
    "parse",
    "read",
    "read_settings",
    "span_at",
    "to_data",
]

MAX_BYTES = 1 << 20
STDIN = "<stdin>"  # the file name of standard input in diagnostics

# YAML 1.2's printable characters without the line separators of YAML 1.1, which parsers treat differently.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DIRECTIVE = re.compile(r"^%TAG\b", re.MULTILINE)


def read(path: str | os.PathLike[str], stdin: IO[str] | IO[bytes] | None = None, *, shown: str | None = None) -> str:
    """Return the text of a file, or of standard input if the path is `-`; messages call the file `shown`.

    Raises SpecError with status 2 if there is no such file, or if it is not a regular file, cannot be read, is not
    UTF-8 text, or is larger than MAX_BYTES.
    """
    path = os.fspath(path)
    name = path if shown is None else shown
    if path == "-":
        return _decode(_read_stream(stdin or sys.stdin), STDIN)
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 (the name may not be a valid path)
        data = _read_regular(path) if stat.S_ISREG(mode) else b""
    except (FileNotFoundError, NotADirectoryError):
        missing(name)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        unusable("AS005", f"`{name}` cannot be read: {reason}")
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
        unusable("AS002", f"`{name}` is {what}", help="give the path of a YAML file, or pipe the text to `-`")
    return _decode(data, name)


def read_settings(path: str | os.PathLike[str]) -> Mapping:
    """The tree of a file of settings other than a spec, in which everything is optional: an empty file is a mapping.

    Raises SpecError like `read` and `parse`.
    """
    try:
        return parse(read(path), STDIN if os.fspath(path) == "-" else str(path))
    except SpecError as error:
        if [item.code for item in error.diagnostics] != ["AS030"]:  # empty, or only comments
            raise
        return Mapping((), error.diagnostics[0].span or Span(str(path), 1, 1, 1, 1))


def parse(text: str, file: str, diagnostics: Diagnostics | None = None) -> Mapping:
    """Return the tree of a YAML text; `file` is the file name in its places.

    Merge keys are resolved, and reported to `diagnostics` as notes. Raises SpecError with everything that is wrong:
    YAML syntax, duplicate and non-string keys, tags, cyclic and unknown aliases, several documents, text that is
    empty or not a mapping, and more than 1 MiB, 64 levels of nesting, or 100,000 values after aliases.
    """
    from archspec.spec.compose import compose

    text = text.removeprefix("\ufeff")
    found = Diagnostics()
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        _too_large(file)
    remember(file, text)
    _check_characters(text, file, found)
    found.raise_errors()
    root = compose(text, file, found)
    if not isinstance(root, Mapping):
        _report_root(root, found)
        raise SpecError(found.items)
    found.raise_errors()
    if diagnostics is not None:
        diagnostics.items += found.items
    return root


def _report_root(root: Scalar | Sequence, found: Diagnostics) -> None:
    if is_empty(root):
        found.error("AS030", "the file is empty", root.span, help="a spec begins with `archspec: 1`")
        return
    what = "list" if isinstance(root, Sequence) else "single value"
    help_ = "a spec consists of `key: value` lines, with a space after the `:`"
    found.error("AS031", f"the top level is a {what}, not a mapping", root.span, help=help_)


def _check_characters(text: str, file: str, found: Diagnostics) -> None:
    """Report what must not reach the parser: characters that parsers disagree about, and %TAG (quadratic time)."""
    if match := _FORBIDDEN.search(text):
        code = f"U+{ord(match[0]):04X}"
        found.error(
            "AS044",
            f"character {code} is not allowed in YAML",
            _span(text, match.start(), file),
            help="remove it, or write it as an escape in a double-quoted string",
        )
    if match := _DIRECTIVE.search(text):
        found.error("AS029", "a spec cannot contain tags or directives", _span(text, match.start(), file))


def _span(text: str, index: int, file: str) -> Span:
    """Return the place of one character."""
    lines = text[:index].replace("\r\n", "\n").replace("\r", "\n").split("\n")
    line, column = len(lines), len(lines[-1]) + 1
    return Span(file, line, column, line, column + 1)


def _read_regular(name: str) -> bytes:
    # A pipe may replace the file between `stat` and `open`; without O_NONBLOCK, opening one would wait for a writer.
    with open(name, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(0, "not a regular file")
        return file.read(MAX_BYTES + 1)


def _read_stream(stream: IO[str] | IO[bytes] | None) -> bytes:
    if stream is None:
        unusable("AS005", "standard input is closed", help="give the path of a file, or pipe the text to `-`")
    data = getattr(stream, "buffer", stream).read(MAX_BYTES + 1)
    return data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data


def _decode(data: bytes, name: str) -> str:
    if len(data) > MAX_BYTES:
        _too_large(name)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        unusable("AS003", f"`{name}` is UTF-16 text", help="save it as UTF-8")
    if b"\0" in data:
        unusable("AS003", f"`{name}` is a binary file: it contains a zero byte")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        text = data.decode(errors="replace")
        remember(name, text)
        span = _span(text, len(data[: error.start].decode()), name)
        unusable("AS003", f"`{name}` is not UTF-8 text", span, label="not UTF-8", help="save the file as UTF-8")


def _too_large(name: str) -> NoReturn:
    unusable("AS004", f"`{name}` is larger than 1 MiB", help="a spec is text written by hand; is this the right file?")
