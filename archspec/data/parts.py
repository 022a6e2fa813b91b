"""The files with the data: paths, patterns, and folders of parts as Spark, Hive and pandas write them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from archspec.diagnostics import unusable
from archspec.files import is_folder, is_there

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Name = str | os.PathLike[str]
_NULL: Final = "__HIVE_DEFAULT_PARTITION__"
"""What Hive and Spark write for a partition of missing values."""


@dataclass(frozen=True, slots=True)
class Part:
    """One file, and the columns in the names of its folders: `day=1/part-0.parquet` has `day`, with the text 1."""

    file: str
    partitions: Mapping[str, str | None] = field(default_factory=dict)


def data_files(files: Name | Iterable[Name]) -> tuple[str, ...]:
    """Expands one or several paths, each a file, a folder, or a pattern such as `day*.parquet`.

    Raises:
        SpecError: a pattern matches nothing.
    """
    words = [files] if isinstance(files, str | os.PathLike) else files
    return tuple(path for word in words for path in _matching(os.fspath(word)))


def _matching(word: str) -> list[str]:
    if not has_magic(word) or is_there(word):
        return [word]
    found = sorted(glob(word, recursive=True))  # noqa: PTH207 - absolute patterns too
    if not found:
        unusable("AS701", f"no file matches `{word}`", help="a pattern such as 'day*.parquet' must match a file")
    return found


def parts_of(path: Name) -> tuple[Part, ...]:
    """The file itself; for a folder its files by name, including those in folders such as `day=1`.

    Files and folders whose names begin with `.` or `_`, such as Spark's `_SUCCESS`, contain no rows and are skipped.

    Raises:
        SpecError: a folder has no files, or has folders whose names do not define a column.
    """
    if not is_folder(path):
        return (Part(os.fspath(path)),)
    found = tuple(_parts(Path(path), {}))
    if not found:
        unusable(
            "AS701",
            f"the folder `{os.fspath(path)}` contains no data files",
            help="give a file, or a folder of Parquet parts",
        )
    first = set(found[0].partitions)
    for part in found:
        if set(part.partitions) != first:
            unusable(
                "AS720", f"`{part.file}` and `{found[0].file}` are in folders that define different columns",
                help="give the files by a pattern, such as 'folder/*/*.parquet'",
            )  # fmt: skip
    return found


def _parts(folder: Path, partitions: Mapping[str, str | None]) -> Iterator[Part]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")):
            continue
        if not path.is_dir():
            yield Part(str(path), partitions)
            continue
        column, named, value = path.name.partition("=")
        if not named or not column or column in partitions:
            unusable(
                "AS720", f"the folder `{folder}` contains the folder `{path.name}`, whose name defines no column",
                help="give folders in it names like `day=1`, or give the files by a pattern, "
                f"such as '{folder}/*/*.parquet'",
            )  # fmt: skip
        text = unquote(value)
        yield from _parts(path, {**partitions, unquote(column): None if text == _NULL else text})
