"""Passes: pure functions from program to program, one file each, in the order of this tuple.

May not know graphs, kinds or torch. Every pass keeps outputs and gradients.
"""

from archspec.compiler.passes.common_subexpressions import common_subexpressions
from archspec.compiler.passes.dead_operations import dead_operations
from archspec.compiler.passes.result import PassResult

EXACT_PASSES = (common_subexpressions, dead_operations)
"""Same function, same gradients."""

__all__ = ["EXACT_PASSES", "PassResult", "common_subexpressions", "dead_operations"]
