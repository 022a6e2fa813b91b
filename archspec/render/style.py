"""The font of a model's figure, and its sizes in points; the colours are those of `archspec/palette.py`."""

from __future__ import annotations

from typing import Final

# One name and no list of names: graphviz-pure measures text in the metrics of exactly this family (it carries a font
# of the same widths) and takes another family's widths for a list. In the SVG it becomes "Helvetica,sans-Serif".
FONT: Final = "Helvetica"

TITLE_SIZE: Final = 12
DETAIL_SIZE: Final = 9
LABEL_SIZE: Final = 11
LEVEL_SIZE: Final = 10
SIGN_SIZE: Final = 16
