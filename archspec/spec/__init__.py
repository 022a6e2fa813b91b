"""The spec language: YAML text with positions becomes one checked, canonical Spec.

Lives here: reading, typing, schema and expansion of text, and printing it again.
May not know: the graph, any kind by name, torch.
"""
