"""Options for data files and how to read them, shared by `train` and the commands on a run."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

import click

from archspec.cli.options import Command, applied
from archspec.diagnostics import unusable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from torch import Tensor

    from archspec.cli.progress import Display
    from archspec.data.choices import Requests
    from archspec.data.prepare import Source
    from archspec.runs.trained import Trained


class ManyFiles(click.Command):
    """A command with options that take several values: `--data a.parquet b.parquet`."""

    SEVERAL: Final = ("--data", "--validation", "--test", "--freeze")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeats the option before each of its values."""
        spread: list[str] = []
        current = ""
        for word in args:
            if word.startswith("-") and word != "-":
                current = word if word in self.SEVERAL else ""
                spread += [] if current else [word]
            else:
                spread += [current, word] if current else [word]
        return super().parse_args(ctx, spread)


def some_rows(batches: Iterable[Mapping[str, Tensor]]) -> Iterator[Mapping[str, Tensor]]:
    """The batches. Raises SpecError after the last one if none of them has a row."""
    empty = True
    for batch in batches:
        empty = empty and not any(len(column) for column in batch.values())
        yield batch
    if empty:
        unusable(
            "AS701", "the data has no rows", help="give files with rows; `--bad skip` leaves out rows that do not fit"
        )


def files_of(_context: click.Context, _option: click.Parameter, words: tuple[str, ...]) -> tuple[str, ...]:
    """Expands paths and patterns to files. Raises SpecError for a pattern that matches no file."""
    from archspec.data.parts import data_files

    return data_files(words)


def separators_of(_context: click.Context, option: click.Parameter, words: tuple[str, ...]) -> dict[str, str]:
    """Parses COLUMN=TEXT, by column; `tab` and `blank` name these. Raises BadParameter for any other form."""
    from archspec.data.written import SEPARATORS

    found = {}
    for word in words:
        column, _, text = word.partition("=")
        if not column or not text:
            raise click.BadParameter(
                f"`{word}` does not have the form {option.make_metavar(_context)}, such as `tags=;`"
            )
        found[column] = SEPARATORS.get(text, text)
    return found


def min_counts_of(_context: click.Context, _option: click.Parameter, words: tuple[str, ...]) -> dict[str, int]:
    """Parses N, or COLUMN=N, by column; N alone is for `*`. Raises BadParameter for any other form."""
    found = {}
    for word in words:
        column, named, count = word.rpartition("=")
        if not count.isdecimal() or not int(count) or (named and not column):
            raise click.BadParameter(f"`{word}` is neither a number of at least 1 nor COLUMN=N, such as `city=5`")
        found[column or "*"] = int(count)
    return found


def texts_of(context: click.Context, option: click.Parameter, words: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Parses COLUMN=TEXT,... by column. Raises BadParameter for any other form."""
    found = choices_of(context, option, words)
    return {column: tuple(text.strip() for text in texts.split(",")) for column, texts in found.items()}


def choices_of(_context: click.Context, option: click.Parameter, words: tuple[str, ...]) -> dict[str, str]:
    """Parses COLUMN=KIND or COLUMN=ITEM, by column. Raises BadParameter for any other form."""
    pairs = [word.rpartition("=") for word in words]
    for word, (column, _, kind) in zip(words, pairs, strict=True):
        if not column or not kind:
            such = _SUCH[option.name or ""]
            raise click.BadParameter(
                f"`{word}` does not have the form {option.make_metavar(_context)}, such as `{such}`"
            )
    return {column: kind for column, _, kind in pairs}


_SUCH: Final = {
    "padding": "history=0",
    "choices": "city=vocabulary",
    "columns": "price_level=price",
    "tables": "item=vectors.parquet",
    "moved": "ctr=click",
    "missing": "country=NA,-",
}


def names_of(_context: click.Context, _option: click.Parameter, text: str | None) -> tuple[str, ...] | None:
    """Parses a list of names such as `user,item,click`."""
    return None if text is None else tuple(name.strip() for name in text.split(","))


def data(help: str, *, required: bool = False) -> Callable[[Command], Command]:
    """The option `--data`."""
    return click.option(
        "--data", "files", multiple=True, required=required, metavar="FILE...", callback=files_of, help=help
    )


run = click.argument("run", metavar="RUN")
header = click.option(
    "--header", metavar="NAME,...", callback=names_of, help="Column names of CSV files that have no header line."
)
bad_rows = click.option(
    "--bad", type=click.Choice(["stop", "skip"]), default="stop", show_default=True,
    help="What to do about rows with values that do not fit: stop before anything is written, or skip them.",
)  # fmt: skip
precision = click.option(
    "--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", show_default=True,
    help="bf16: compute products in bfloat16, and print the largest resulting difference.",
)  # fmt: skip
_SOURCE: Final = (
    data(
        "Rows to train on: .parquet, .csv, .csv.gz, .tsv, .feather, .arrow; files, folders of parts, or a 'pattern*'.",
        required=True,
    ),
    click.option(
        "--validation", multiple=True, metavar="FILE...", callback=files_of,
        help="Rows to validate on. [default: a share of the rows of --data]",
    ),
    click.option(
        "--test", multiple=True, metavar="FILE...", callback=files_of,
        help="Rows to measure once, at the end, with the best weights. They decide nothing.",
    ),
    click.option(
        "--split", "share", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.1, show_default=True,
        help="The share of rows to validate on, if --validation is not given.",
    ),
    click.option(
        "--grouped-by", metavar="COLUMN",
        help="Also measure AUC, NDCG@k and recall@k within the groups of this column, such as the user; see --top.",
    ),
    click.option(
        "--encode", "choices", multiple=True, metavar="COLUMN=KIND", callback=choices_of,
        help="Ids: ids, vocabulary, hash, buckets; of times: hour, weekday. Numbers: numbers, standard, log1p; of "
        "times: age, age:COLUMN. Labels: classes, soft. [default: what the values are]",
    ),
    click.option(
        "--encodings", metavar="FILE",
        help="Read encodings from a YAML file; options for a column override the file.",
    ),
    click.option(
        "--min-count", "min_counts", multiple=True, metavar="[COLUMN=]N", callback=min_counts_of,
        help="Values in fewer than N rows count as unknown, in all vocabularies or in that of COLUMN.",
    ),
    click.option(
        "--column", "columns", multiple=True, metavar="COLUMN=OTHER", callback=choices_of,
        help="Read a column of the spec from another one of the files; several may be read from one, each with its own "
        "encoding.",
    ),
    click.option(
        "--missing", multiple=True, metavar="COLUMN=TEXT,...", callback=texts_of,
        help="Texts that mean a missing value in a column, in addition to an empty field, NaN, null and the like.",
    ),
    click.option(
        "--separator", "separators", multiple=True, metavar="COLUMN=TEXT", callback=separators_of,
        help="What separates the items of lists that are written as text; tab and blank by name. [default: found]",
    ),
    click.option(
        "--padding", multiple=True, metavar="COLUMN=ITEM", callback=choices_of,
        help="The value that pads the lists of a column, in addition to -1.",
    ),
    click.option(
        "--table", "tables", multiple=True, metavar="INPUT=FILE", callback=choices_of,
        help="Initialise an input's table with pretrained vectors: a file with columns id (input values) and vector.",
    ),
    click.option(
        "--encoding", metavar="RUN",
        help="Encode as this run did, with its vocabularies, buckets and means; new values are unknown.",
    ),
    header,
    bad_rows,
)  # fmt: skip


def say_difference(display: Display, run: Trained) -> None:
    """Prints what low precision changes in the model of a run, if it is in low precision."""
    if run.difference is not None:
        display.say(f"bf16: the largest difference of a logit from fp32 on random input is {run.difference:.1e}")


def source_options(command: Command) -> Command:
    """Adds all options for training data, whose names are the fields of a `Source`."""
    return applied(_SOURCE, command)


def source_of(values: dict[str, Any], written: Requests | None = None) -> Source:
    """Makes a Source from the options; for each column, they override the file of `--encodings`."""
    from archspec.data.prepare import Source

    given = {field.name: values[field.name] for field in fields(Source)}
    for field in fields(written) if written is not None else ():
        given[field.name] = {**getattr(written, field.name), **given[field.name]}
    return Source(**given)
