"""Passes: pure functions from program to program, one file each, in the order of this tuple.

Passes must not know graphs, kinds or torch. Every exact pass preserves outputs and gradients.
"""

from archspec.compiler.passes.bfloat16_products import bfloat16_products
from archspec.compiler.passes.chosen_experts import chosen_experts
from archspec.compiler.passes.common_subexpressions import common_subexpressions
from archspec.compiler.passes.dead_operations import dead_operations
from archspec.compiler.passes.identity_folding import identity_folding
from archspec.compiler.passes.result import PassResult
from archspec.compiler.passes.shared_lookups import shared_lookups
from archspec.compiler.passes.side_by_side import side_by_side
from archspec.compiler.passes.transposed_weights import transposed_weights
from archspec.compiler.passes.wide_products import wide_products

EXACT_PASSES = (
    common_subexpressions,
    identity_folding,
    dead_operations,
    shared_lookups,
    chosen_experts,
    wide_products,
    side_by_side,
    dead_operations,
)
"""Passes that preserve outputs and gradients."""

INEXACT_PASSES = {"bf16": (bfloat16_products,)}
"""Passes that change precision, by the name of the precision; they run only if the caller requests them."""

LAYOUT_PASSES = (transposed_weights,)
"""Exact passes that depend on how products are computed, so they run after a change of precision."""

__all__ = ["EXACT_PASSES", "INEXACT_PASSES", "LAYOUT_PASSES", "PassResult"]
