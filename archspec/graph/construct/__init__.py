"""From a Spec to nodes and edges: names are resolved, references become streams, gates see experts.

Lives here: everything that reads the sections of a spec. May not know what a correct graph is: that is `checks`.
"""
