"""From graph to program to Python source to module: lower, passes, emit, compile.

Everything but the last step of `compile` works without torch. May not know a kind by name.
"""
