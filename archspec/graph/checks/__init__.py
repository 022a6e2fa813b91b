"""What must hold of a graph, and what probably should: widths, cycles, limits, balances, outputs, lints.

Lives here: everything that reports findings about a connected graph. May not change the graph.
"""
