"""Calls of the methods of kinds, and the diagnostics of calls that fail or return what the kind did not declare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from archspec.contract import KindError
from archspec.contract.registry import place
from archspec.diagnostics import Diagnostic, SpecError
from archspec.program import Value
from archspec.spec.spec import TaskBlock

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archspec.diagnostics import Span
    from archspec.graph.graph import Node
    from archspec.program.program import Dim


def failed_call(node: Node, error: Exception) -> Diagnostic:
    """A KindError is reported at the setting that it names; any other error is a bug in the kind."""
    if isinstance(error, KindError):
        return _diagnostic("AS210", node, f"{node.what}: {error}", setting_span(node, *error.at), error.help)
    message = f"{_kind(node)} failed: {type(error).__name__}: {error}"
    return _diagnostic("AS502", node, message, node.block.place, "a defect of the class that defines the kind")


def wrong_result(node: Node, problem: str) -> Diagnostic:
    """A kind that returned something it did not declare; the message is `its kind ...` and then `problem`."""
    help = "correct the class; `archspec.testing.check_kind` finds this in a test of the kind"  # noqa: A001 - as in Diagnostic
    return _diagnostic("AS502", node, f"{_kind(node)} {problem}", node.block.place, help)


def unimportable(node: Node) -> Diagnostic:
    """A kind that builds a module, but whose class emitted files cannot import."""
    message = f"{_kind(node)} builds a module, but its class is defined inside a function: no built file can import it"
    return _diagnostic("AS503", node, message, node.block.place, "define the class at the top of its module")


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
        said: the kind's declaration, such as `says that it is 8 wide`, with which the message begins.
        shapes: legal shapes.
        each: the number of values; None: one, and not in a tuple.

    Raises:
        SpecError: AS210 or AS502: the method raises an error, or returns something else.
    """
    answer = call(node, method, *arguments)
    values = tuple(answer) if each is not None and isinstance(answer, tuple | list) else (answer,)
    found = [value.shape if isinstance(value, Value) else type(value) for value in values]
    if len(found) != (each or 1) or any(shape not in shapes for shape in found):
        shown = ", ".join(_shape(shape) for shape in found)
        raise SpecError([wrong_result(node, f"{said}, but its `{method}` gives {shown or 'nothing'}")])
    return answer if each is None else values


def call(node: Node, method: str, *arguments: Any) -> Any:  # noqa: ANN401 - a kind's method has its own
    """Calls a kind's method.

    Raises:
        SpecError: AS210 or AS502: the method raises an error.
    """
    try:
        return getattr(getattr(node.block, "settings", None), method)(*arguments)
    except SpecError:  # of a stream that the kind reads
        raise
    except Exception as error:
        raise SpecError([failed_call(node, error)]) from error


def _shape(found: tuple[Dim, ...] | type) -> str:
    return f"a `{found.__name__}`" if isinstance(found, type) else f"[{', '.join(map(str, found))}]"


def setting_span(node: Node, *path: str | int) -> Span:
    """The place of a setting if it is written, else of the block's name."""
    block = node.block
    if isinstance(block, TaskBlock):
        return block.place
    span = block.span(*path)
    return block.place if span == block.node.span else span


def _kind(node: Node) -> str:
    """The kind, its category, and the place of its class, in words."""
    settings = getattr(node.block, "settings", None)
    stands = f" ({place(type(settings))})" if settings is not None else ""
    return f"{node.what}: its kind `{node.kind}`{stands}"


def _diagnostic(code: str, node: Node, message: str, span: Span, help: str) -> Diagnostic:
    return Diagnostic(code, message, span, notes=tuple(node.block.provenance), help=help)
