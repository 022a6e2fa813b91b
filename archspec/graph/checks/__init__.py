"""Checks of a graph: cycles, widths, limits, balances and outputs, which are errors, and lints, which are warnings.

Lives here: everything that reports findings about a connected graph. May not change the graph.
"""
