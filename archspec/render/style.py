"""The font of a model's figure, and its sizes in points; the colours are those of `archspec/palette.py`."""

from __future__ import annotations

from typing import Final

# A single name, not a list: graphviz-pure measures text with the metrics of exactly this family (it contains a font of
# the same widths), and for a list it uses another family's widths. In the SVG it becomes "Helvetica,sans-Serif".
FONT: Final = "Helvetica"

TITLE_SIZE: Final = 12
DETAIL_SIZE: Final = 9
LABEL_SIZE: Final = 11
LEVEL_SIZE: Final = 10
SIGN_SIZE: Final = 16
