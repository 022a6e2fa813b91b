"""The checked graph of a spec: which node reads which, how wide each is, which task's loss reaches it.

Lives here: everything known about a network before any tensor exists. May not know torch; networkx is only what
`export` hands out, since importing it costs more than all checks.
"""
