"""Program -> one Python file that needs only torch and the plugins used. Equal programs give equal bytes."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from archspec import __version__
from archspec.compiler import runtime
from archspec.compiler.body import Body
from archspec.compiler.expressions import built, functions_of
from archspec.compiler.in_place import in_place
from archspec.compiler.making_way import making_way
from archspec.compiler.names import Attributes, class_name
from archspec.compiler.parts import parts
from archspec.compiler.plugin_modules import aliased, plugin_aliases
from archspec.compiler.tiles import rows_per_tile
from archspec.program import Output, Seen
from archspec.program.nodes import NodeName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from archspec.compiler.lower import Lowered
    from archspec.compiler.runtime import Definition
    from archspec.graph.graph import Graph
    from archspec.program import Storage


def emit(graph: Graph, lowered: Lowered) -> str:
    """The source of the module's file."""
    return _Emitter(graph, lowered).source()


class _Emitter:
    def __init__(self, graph: Graph, lowered: Lowered) -> None:
        self.graph, self.spec = graph, graph.spec
        self.plugins = plugin_aliases([lowered.forward, lowered.predict])
        self.lowered = replace(
            lowered,
            forward=aliased(in_place(lowered.forward), self.plugins),
            predict=aliased(lowered.predict, self.plugins),
        )
        self.program = self.lowered.forward
        self.cls = class_name(self.spec.name)
        programs = (self.program, self.lowered.predict)
        self.attributes = Attributes(programs)
        self.constants = {op.output.name: op for program in programs for op in program.ops if op.kind == "constant"}
        self.functions = dict.fromkeys(name for program in programs for op in program.ops for name in functions_of(op))
        self.ids = next((op for op in self.program.ops if op.kind == "ids"), None)
        self.tile = rows_per_tile(self.program)
        self.methods = runtime.methods(ids=self.ids is not None, tiles=self.tile is not None)
        used = {name for method in self.methods for name in method.uses}
        modules = ("placed",) if self.program.modules else ()
        beside = ("check_beside",) if self.beside() else ()
        self.definitions = runtime.section((*self.functions, *used, *modules, *beside, "keep_freed_memory", "seeded"))

    def source(self) -> str:
        """The whole file: docstring, class, the functions that it uses, and the tables that its methods read."""
        head = [self.docstring(), "\n".join(self.imports()), "Batch = Mapping[str, Tensor]", "\n".join(self.routing())]
        source = "\n\n\n".join([
            "\n\n".join(part for part in head if part),
            self.class_source(),
            _heading("The runtime of archspec: what every model shares, as far as this one uses it."),
            *_spaced(self.definitions),
            _heading("What the methods know about this model."),
            "\n\n".join(self.tables()),
        ]) + "\n"  # fmt: skip
        return making_way(source, self.cls)

    def docstring(self) -> str:
        """The file's docstring: what it was built from."""
        about = _plain(self.spec.about)
        lines = [f'"""{self.cls}{f": {about}" if about else ""}', ""]
        lines += [f"Built by archspec {__version__} from the spec `{self.spec.name}`, digest {self.spec.digest}.",
                  "Change the spec and build again rather than this file.", '"""']  # fmt: skip
        return "\n".join(definition for line in lines for definition in (textwrap.wrap(line, 118) or [""]))

    def imports(self) -> Iterator[str]:
        """The imports."""
        yield "from __future__ import annotations\n"
        yield from runtime.import_lines(name for each in (*self.methods, *self.definitions) for name in each.uses)
        if self.plugins:
            yield ""
        if any(isinstance(value, Seen) for module in self.program.modules.values() for value in module.arguments):
            yield "from archspec.program import Seen"
        yield from (f"import {module} as {alias}" for module, alias in self.plugins.items())

    def routing(self) -> Iterator[str]:
        """Comments that describe what gates see and towers read."""
        for number, level in enumerate(self.spec.levels, 1):
            like = {name: f", like {block.common.like}" for name, block in level.experts.items() if block.common.like}
            experts = ", ".join(f"{name} ({b.common.count}{like.get(name, '')})" for name, b in level.experts.items())
            yield from _comment(f"level {number}: experts {experts}")
            for name, block in level.gates.items():
                seen = block.common.sees.data()
                selector = block.common.selector.data() if block.common.selector else "none"
                yield from _comment(f"  gate {name} sees {_words(seen)}; selector {_words(selector)}")
        for name in self.spec.towers:
            readers = [edge.source for edge in self.graph.into(NodeName("towers", name)) if edge.role != "switch"]
            yield from _comment(f"tower {name} reads {', '.join(dict.fromkeys(readers))}")

    # -- the class ----------------------------------------------------------------------------------------------------

    def class_source(self) -> str:
        """The class: state, forward, predict, and the methods of every compiled module."""
        modules = [self.plugin_modules()] if self.program.modules else []
        blocks = [self.init(), self.forward(), self.predict(), *modules, *(method.source for method in self.methods)]
        head = f'class {self.cls}(nn.Module):\n    """{_plain(self.spec.about) or self.spec.name}"""'
        return head + "\n\n" + "\n\n".join(textwrap.indent(block, "    ") for block in blocks)

    def init(self) -> str:
        """`__init__`: one tensor per storage."""
        lines = ["super().__init__()", 'empty = {"device": device, "dtype": dtype}',
                 "self.check_inputs = True  # outside compiled and exported graphs"]  # fmt: skip
        if self.section("losses"):
            lines.append("self.auxiliary_losses: dict[str, Tensor] = {}  # of the last forward pass in training")
        lines += [self.storage(storage) for storage in self.program.storages.values()]
        for name, op in self.constants.items():
            kind = {"bool": ", dtype=torch.bool, device=device", "int": ", dtype=torch.int64, device=device"}.get(
                op.output.dtype, ", **empty"
            )
            size = ", ".join(map(str, op.output.shape))
            lines.append(
                f'self.register_buffer("{self.attributes.name(name)}", torch.empty({size}{kind}), persistent=False)'
            )
        lines.append("with seeded(seed):")
        if self.program.modules:
            lines += [
                "    for name, module in self.plugin_modules().items():",
                "        setattr(self, name, placed(module, device, dtype))",
            ]
        lines += ["    self.reset_parameters()", "keep_freed_memory()"]
        signature = (
            "def __init__(\n    self, *, seed: int | None = None, device: torch.device | str | None = None, "
            "dtype: torch.dtype | None = None\n) -> None:"
        )
        return signature + "\n" + textwrap.indent("\n".join(lines), "    ")

    def storage(self, storage: Storage) -> str:
        """The line that creates one tensor."""
        attribute, size = self.attributes.name(storage.name), ", ".join(map(str, storage.shape))
        if storage.trainable:
            idle = ", requires_grad=False" if storage.idle or storage.frozen else ""
            line = f"self.{attribute} = nn.Parameter(torch.empty({size}, **empty){idle})"
            return f"{line}  # no output depends on it" if storage.idle else line
        return f'self.register_buffer("{attribute}", torch.empty({size}, **empty))'

    def plugin_modules(self) -> str:
        """`plugin_modules`: the modules that kinds of plugins build."""
        made = [
            f'        "{self.attributes.name(name)}": {built(module)},' for name, module in self.program.modules.items()
        ]
        return "\n".join([
            "@staticmethod",
            "def plugin_modules() -> dict[str, nn.Module]:",
            '    """New modules of plugins, by attribute."""',
            "    return {", *made, "    }",
        ])  # fmt: skip

    def forward(self) -> str:
        """`forward`: from a batch to logits."""
        logits = self.section("logits")
        words = "\n".join(
            ["def forward(self, batch: Batch, gates: dict[str, Tensor] | None = None) -> dict[str, Tensor]:",
             f'    """Logits by name: {self.shapes(logits)}. A dict given as `gates` gets every gate\'s weights."""']
        )  # fmt: skip
        body = Body(self.program, self.attributes.name, self.plugins.values())
        done: set[str] = set()
        lines = self.checks()
        lines += body.section(logits, done, headings=True)
        lines += body.section(self.shared_by_blocks(), done, headings=False)
        lines += self.optional(body, done, "gates", "if gates is not None:", 'gates["{}"] = {}')
        lines += self.optional(body, done, "losses", "if self.training:", 'self.auxiliary_losses["{}"] = {}')
        lines.append(_returned(f'"{out.name}": {body.operand(out.value.name)}' for out in logits))
        return _wrap_docstring(words) + "\n" + textwrap.indent("\n".join(lines), "    ")

    def checks(self) -> list[str]:
        """The first lines of `forward`: the checks of the batch, and the branch for large batches."""
        condition = "if self.check_inputs and not torch.compiler.is_compiling():"
        beside = [f'    check_beside(batch, "{name}", {ids!r}, {weights!r})' for name, ids, weights in self.beside()]
        large = ["if self.is_large(batch):", "    return self.in_tiles(batch, gates)"] if self.tile else []
        own = [] if self.ids else ["    self.check(batch)"]  # `self.ids` checks, too
        return [*([condition, *beside] if beside else []), *large, *([condition, *own] if own else [])]

    def beside(self) -> list[tuple[str, str, str]]:
        """Inputs with a column of weights for their ids: the input, the key of its ids and that of the weights."""
        columns = self.lowered.columns
        named = ((name.partition(".")[0], key) for name, (key, column) in columns.items() if column.beside)
        return [(name, columns[name][0], key) for name, key in named]

    def shared_by_blocks(self) -> list[Output]:
        """Values that both optional blocks need: they are computed first, since each block may run alone."""
        gates, losses = (self.program.needed(self.section(section)) for section in ("gates", "losses"))
        both = (op.output for op in self.program.ops if op.output.name in gates & losses)
        return [Output("logits", value.name, value) for value in both]

    def optional(self, body: Body, done: set[str], section: str, condition: str, assign: str) -> Iterator[str]:
        """A block for outputs that not every call needs."""
        outputs = self.section(section)
        if not outputs:
            return
        lines = body.section(outputs, done, headings=False)
        totals: dict[str, list[str]] = {}
        for out in outputs:
            totals.setdefault(out.name, []).append(body.operand(out.value.name))
        lines += [assign.format(name, " + ".join(values)) for name, values in totals.items()]
        yield condition
        yield from (f"    {line}" for line in lines)

    def predict(self) -> str:
        """`predict`: from a batch to probabilities, values and fused scores."""
        program = self.lowered.predict
        body = Body(program, self.attributes.name, self.plugins.values())
        lines = ["logits = self(batch)", *body.section(program.outputs, set(), headings=False)]
        lines.append(_returned(f'"{out.name}": {body.operand(out.value.name)}' for out in program.outputs))
        words = [
            "@torch.no_grad()",
            "def predict(self, batch: Batch) -> dict[str, Tensor]:",
            '    """Probabilities, values and fused scores by name, each `[B]` (or `[B, classes]`). No gradient."""',
        ]
        return "\n".join(words) + "\n" + textwrap.indent("\n".join(lines), "    ")

    def section(self, section: str) -> list[Output]:
        """The outputs of a section."""
        return [out for out in self.program.outputs if out.section == section]

    @staticmethod
    def shapes(outputs: Iterable[Output]) -> str:
        """Names of outputs with their shapes."""
        return ", ".join(f"{out.name} [{', '.join(map(str, out.value.shape))}]" for out in outputs)

    # -- tables -------------------------------------------------------------------------------------------------------

    def tables(self) -> Iterator[str]:
        """The tables about this model that its methods read."""
        slots = self.program.slots()
        rows = []
        for name, weight in self.program.weights.items():
            storage, slot = slots[name]
            index = ", ".join(f"slice({i[0]}, {i[1]})" if isinstance(i, tuple) else str(i) for i in slot.index)
            index = f"({index},)" if index else "()"
            start = f'("{weight.init.kind}", {weight.init.argument!r})'
            rows.append(f'    ("{name}", "{self.attributes.name(storage.name)}", {index}, {start}),')
        yield "# Canonical name, the tensor that holds it, index into that, how it starts.\n" + _table("WEIGHTS", rows)
        transposed = [
            f'    "{self.attributes.name(storage.name)}",'
            for storage in self.program.storages.values()
            if any(slot.transposed for slot in storage.slots)
        ]
        yield "# Tensors [D, H] and [E, D, H] of weights [H, D].\n" + _table("TRANSPOSED", transposed)
        columns = [
            f'    ("{name}", {key!r}, "{column.dtype}", {column.shape!r}, {column.low}, {column.high}),'
            for name, (key, column) in self.lowered.columns.items()
        ]
        yield "# Input, key in the batch, type, shape, lowest id, first id too high.\n" + _table("COLUMNS", columns)
        yield "# Keys of single ids, in the order in which they are looked up.\n" + _table("IDS", self.id_keys())
        if self.tile:
            yield f"# The most rows that inference on a CPU computes at once.\nTILE = {self.tile:_}"
        constants = [
            f'    "{self.attributes.name(name)}": {_rows(op.attr("data"))},' for name, op in self.constants.items()
        ]
        yield (
            "\n".join(["CONSTANTS = {", *constants, "}"])
            if constants
            else "CONSTANTS: dict[str, tuple[tuple[float, ...], ...]] = {}"
        )
        modules = [f'    "{name}": "{self.attributes.name(name)}",' for name in self.program.modules]
        yield "\n".join(["MODULES = {", *modules, "}"]) if modules else "MODULES: dict[str, str] = {}"
        lines = "\n".join(map(_plain_line, parts(self.graph, self.program)))
        yield f'# What `print` shows.\nPARTS = """\\\n{lines}"""'

    def id_keys(self) -> list[str]:
        """The rows of IDS: the columns that the program stacks, else every column of single ids."""
        columns = self.lowered.columns.values()
        single = (key for key, column in columns if (column.dtype, column.shape) == ("int", ("B",)))
        return [f"    {key!r}," for key in (self.ids.attr("keys") if self.ids else single)]


def _heading(text: str) -> str:
    return f"# {text} ".ljust(120, "-")


def _spaced(definitions: Sequence[Definition]) -> Iterator[str]:
    """Definitions separated by blank lines; consecutive constants form one block."""
    for constants, group in groupby(definitions, key=lambda definition: definition.is_constant):
        sources = [definition.source for definition in group]
        yield from ["\n".join(sources)] if constants else sources


def _table(name: str, rows: list[str]) -> str:
    return "\n".join([f"{name} = (", *rows, ")"]) if rows else f"{name}: tuple[str, ...] = ()"


def _rows(data: tuple[tuple[float, ...], ...]) -> str:
    return repr(data)


def _returned(items: Iterable[str]) -> str:
    parts = list(items)
    line = f"return {{{', '.join(parts)}}}"
    return line if len(line) < 100 else "return {\n" + "".join(f"    {part},\n" for part in parts) + "}"  # noqa: PLR2004 - a line's worth


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, 116, initial_indent="# ", subsequent_indent="#     ", break_long_words=False)


def _words(data: object) -> str:
    """References and `sees` in words."""
    match data:
        case str():
            return data
        case list():
            return ", ".join(map(_words, data))
        case {"sum": items}:
            return " + ".join(map(_words, items))
        case {"detach": inner}:
            return f"{_words(inner)} (detached)"
        case _:
            return str(data)


def _plain(text: str) -> str:
    """Text from a spec as part of a docstring: one line, without anything that could end the docstring."""
    return " ".join(text.split()).encode("unicode_escape").decode().replace('"', "'") if text else ""


def _plain_line(text: str) -> str:
    """A line as part of a string, without anything that could end the string; keeps its indentation."""
    return text[: len(text) - len(text.lstrip())] + _plain(text)


def _wrap_docstring(text: str) -> str:
    head, line = text.split("\n")
    if len(line) <= 112:  # noqa: PLR2004 - a line's worth
        return text
    wrapped = textwrap.wrap(line.strip(), 110, initial_indent="    ", subsequent_indent="    ")
    return "\n".join([head, *wrapped])
