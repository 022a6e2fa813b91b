"""The spec language: YAML text with positions becomes one checked, canonical Spec.

This package reads, types, expands and prints specs, and contains the schema.
It does not know the graph, any kind by name, or torch.
"""
