"""The page of a spec: one HTML file with the figure, which answers questions when it is clicked, and a local server.

`page` makes the file; `serve` shows it while the spec is edited.
"""

from __future__ import annotations

from archspec.page.html import broken_page, page
from archspec.page.server import serve

__all__ = ["broken_page", "page", "serve"]
