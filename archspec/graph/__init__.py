"""The checked graph of a spec: what each node reads, how wide it is, and which tasks' losses reach it.

This package contains everything that is known about a network before any tensor exists. It does not know torch; only
`export` uses networkx, since importing it takes longer than all checks.
"""
