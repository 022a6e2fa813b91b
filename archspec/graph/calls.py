"""Calls of the methods of kinds, and the diagnostics of calls that fail or return what the kind did not declare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archspec.contract.calls import MAKES_VALUES, WrongAnswerError, ask, defect
from archspec.contract.registry import place
from archspec.diagnostics import Diagnostic, SpecError
from archspec.program import Value
from archspec.spec.spec import TaskBlock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.diagnostics import Span
    from archspec.graph.graph import Node
    from archspec.program.program import Dim
    from archspec.spec.spec import Block, Switch


def wrong_result(node: Node, problem: str) -> Diagnostic:
    """A kind that returned something other than it declared; `problem` completes the sentence `its kind ...`."""
    return wrong_result_of(node.block, node.what, problem)


def wrong_result_of(block: Block | Switch | TaskBlock, what: str, problem: str) -> Diagnostic:
    """The same for a block, which the message calls `what`."""
    return _failure(block, what, "", WrongAnswerError(problem))


def unimportable(node: Node) -> Diagnostic:
    """A kind that builds a module, but whose class emitted files cannot import."""
    where = place(type(getattr(node.block, "settings", None)))
    return Diagnostic(
        "AS503", f"{node.what}: its kind `{node.kind}` ({where}) builds a module, but its class is defined inside a "
        "function: a built file cannot import it",
        node.block.place, notes=tuple(node.block.provenance), help="define the class at the top of its module",
    )  # fmt: skip


def checked_call(
    node: Node,
    method: str,
    *arguments: Any,  # noqa: ANN401 - a kind's method has its own
    said: str,
    shapes: Sequence[tuple[Dim, ...]],
    each: int | None = None,
) -> Any:  # noqa: ANN401 - the same
    """Calls a kind's method, which must return a value of one of the shapes, or (`each`) a tuple of that many values.

    Args:
        node: the node of the kind.
        method: the method's name.
        arguments: its arguments.
        said: what the kind declared, such as `declares a width of 8`; the message begins with it.
        shapes: legal shapes.
        each: the number of values; None: one, and not in a tuple.

    Raises:
        SpecError: AS210 or AS502: the method raises an error, or its result has none of these shapes.
    """
    assert method in MAKES_VALUES
    answer = call(node, method, *arguments)
    values = tuple(answer) if each is not None and isinstance(answer, tuple | list) else (answer,)
    fits = [isinstance(value, Value) and value.shape in shapes and value.dtype == "float" for value in values]
    if len(fits) != (each or 1) or not all(fits):
        shown = ", ".join(map(_shown, values))
        raise SpecError([wrong_result(node, f"{said}, but its `{method}` returns {shown or 'nothing'}")])
    return answer if each is None else values


def call(node: Node, method: str, *arguments: Any) -> Any:  # noqa: ANN401 - a kind's method has its own
    """Calls a method of a node's kind.

    Raises:
        SpecError: AS210 or AS502: the method raises an error, or returns something of another type.
    """
    return call_of(node.block, node.what, method, *arguments)


def call_of(block: Any, what: str, method: str, *arguments: Any) -> Any:  # noqa: ANN401 - as `call`
    """Calls a method of the kind of a block, which messages call `what`. Raises SpecError, as `call` does."""
    try:
        return ask(block.settings, method, *arguments)
    except SpecError:  # of a stream that the kind reads
        raise
    except Exception as error:
        raise SpecError([_failure(block, what, method, error)]) from error


def _failure(block: Block | Switch | TaskBlock, what: str, method: str, error: Exception) -> Diagnostic:
    """A KindError is reported at the setting that it names; any other error is a bug in the kind."""
    settings = getattr(block, "settings", None)
    return defect(
        error,
        method,
        what=what,
        kind=getattr(block, "kind", ""),
        cls=None if settings is None else type(settings),
        span=lambda *path: _span(block, *path) if path else block.place,
        notes=block.provenance,
    )


def _shown(value: object) -> str:
    """Describes a value by its shape, anything else by its type."""
    if not isinstance(value, Value):
        return f"a `{type(value).__name__}`"
    return f"[{', '.join(map(str, value.shape))}]{'' if value.dtype == 'float' else f' of type {value.dtype}'}"


def setting_span(node: Node, *path: str | int) -> Span:
    """The place of a setting if it is written, else of the block's name."""
    return _span(node.block, *path)


def _span(block: Block | Switch | TaskBlock, *path: str | int) -> Span:
    if isinstance(block, TaskBlock):
        return block.place
    span = block.span(*path)
    return block.place if span == block.node.span else span
