"""Graph -> program: each node's kind adds its operations; afterwards there are no experts or gates, only tensors.

There is one module with one function per category of nodes, and modules for what they share: the columns of a batch,
streams, calls of kinds. Lowering must not know any kind by name, or what passes do with the program.
"""

from archspec.compiler.lower.programs import Lowered, lower

__all__ = ["Lowered", "lower"]
