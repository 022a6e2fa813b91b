"""The documentation as a static site: `python -m docs.site [FOLDER]`, which `make docs` runs.

The pages are those of docs/, the README, the changelog and CONTRIBUTING.md; to them come a page for each spec in specs/
and pages of all diagnostic codes. `staging` copies and links the pages, `architectures` and `codes` write the others,
`__main__` lets Sphinx build them. The site needs no server and no network.
"""
