"""From graph to program to Python source to module: lower, passes, emit, compile.

Everything except the last step of `compile` works without torch. The compiler must not know any kind by name.
"""
