"""Built-in kinds of all categories, from inputs to balances: one class per kind.

A new kind belongs in the file of its category; it is available at once. This package must not know torch (losses and
balances import it inside their methods), or how a program becomes Python.
"""
