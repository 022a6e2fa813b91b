"""Built-in kinds of all categories, from inputs to balances: one class per kind.

Add a new kind to the file of its category; it is then available at once. This package does not know torch (losses and
balances import it inside their methods), nor how a program becomes Python.
"""
