"""How fast archspec's modules are beside other libraries' models. `make bench` runs all of it; see README.md."""
