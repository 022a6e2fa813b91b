"""What inputs, experts, gates, feature gates, towers, fusions, losses and balances are: one class per kind.

A new kind of a category goes into the file of its category and is there at once. May not know torch (losses and
balances import it inside their methods), nor how a program becomes Python.
"""
