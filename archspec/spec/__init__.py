"""The spec language: YAML text with positions becomes one checked, canonical Spec.

This package reads, types, expands and prints specs, and contains the schema. It must not know the graph, torch, or any
kind by name.
"""
