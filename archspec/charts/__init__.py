"""Charts of gate weights, learning curves and the importance of inputs. Requires matplotlib.

This package draws numbers; `archspec.render` draws the model itself. It must not know models or torch. The same numbers
give the same bytes: files contain no dates, no random names, and no fonts of the machine.
"""

from __future__ import annotations

from archspec.charts.bars import gate_bars
from archspec.charts.curves import learning_curves
from archspec.charts.importance import importance_bars
from archspec.charts.page import FORMATS, write_figure

__all__ = ["FORMATS", "gate_bars", "importance_bars", "learning_curves", "write_figure"]
