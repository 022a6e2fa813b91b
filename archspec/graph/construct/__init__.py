"""From a Spec to nodes and edges: names are resolved, references become streams, gates see experts.

Lives here: everything that reads the sections of a spec. What a correct graph is belongs in `checks`.
"""
