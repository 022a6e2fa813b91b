"""Graph -> program: each node's kind adds its operations; afterwards there are no experts or gates, only tensors.

There is one module per category of nodes, with one function, and modules for what they share: the batch's columns, the
streams, calls of kinds. Lowering does not know any kind by name, nor what passes do with the program.
"""

from archspec.compiler.lower.programs import Lowered, lower

__all__ = ["Lowered", "lower"]
