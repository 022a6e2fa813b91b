"""Graph -> program: each node's kind writes its operations; afterwards there are no experts or gates, only tensors.

Here is one module per category of nodes, with one function, and what they share: the batch's columns, the streams, the
call of a kind. May not know any kind by name, nor what passes do with the program.
"""

from archspec.compiler.lower.programs import Lowered, lower

__all__ = ["Lowered", "lower"]
