"""Measures archspec's modules against other libraries' models. `make bench` runs everything; see README.md."""
