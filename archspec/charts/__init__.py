"""Charts of what a model does: the weights of its gates, and its learning curves. Needs matplotlib.

Here lives what is drawn from numbers; a model's own figure is `archspec.render`'s. May not know models, nor
torch. The same numbers give the same bytes: no dates, no random names, no fonts of the machine.
"""

from __future__ import annotations

from archspec.charts.bars import gate_bars
from archspec.charts.curves import learning_curves
from archspec.charts.page import FORMATS, write_figure

__all__ = ["FORMATS", "gate_bars", "learning_curves", "write_figure"]
