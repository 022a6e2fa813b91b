"""Diagnostics: a code, a message, the place, notes on what it conflicts with, and a suggestion.

Every layer reports through this package, which imports none of them.
"""

from archspec.diagnostics.codes import CODES
from archspec.diagnostics.excerpt import remember, visible
from archspec.diagnostics.finding import (
    Details,
    Diagnostic,
    Diagnostics,
    Note,
    Severity,
    Span,
    SpecError,
    in_order,
    unusable,
)
from archspec.diagnostics.interrupts import was_interrupted
from archspec.diagnostics.nearest import suggest
from archspec.diagnostics.printing import Style, render

__all__ = [
    "CODES",
    "Details",
    "Diagnostic",
    "Diagnostics",
    "Note",
    "Severity",
    "Span",
    "SpecError",
    "Style",
    "in_order",
    "remember",
    "render",
    "suggest",
    "unusable",
    "visible",
    "was_interrupted",
]
