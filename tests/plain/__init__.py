"""Hand-written plain PyTorch models, one per architecture, against which compiled specs are tested.

They never import archspec. `REFERENCES` maps the name of a spec in `specs/` to its class; a class without arguments
has the sizes of the spec, `INPUTS` says what its batch holds, and its state dict has the canonical weight names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .asymmetric_sharing import AsymmetricSharing
from .cgc import Cgc
from .cross_stitch import CrossStitch
from .customized_sharing import CustomizedSharing
from .dbmtl import Dbmtl
from .esmm import Esmm
from .meituan_search import MeituanSearch
from .ml_mmoe import MlMmoe
from .mmoe import Mmoe
from .moe import Moe
from .ple import Ple
from .ple_video import PleVideo
from .shared_bottom import SharedBottom

if TYPE_CHECKING:
    from .blocks import Reference

REFERENCES: dict[str, type[Reference]] = {
    "shared_bottom": SharedBottom,
    "asymmetric_sharing": AsymmetricSharing,
    "customized_sharing": CustomizedSharing,
    "cross_stitch": CrossStitch,
    "moe": Moe,
    "mmoe": Mmoe,
    "ml_mmoe": MlMmoe,
    "cgc": Cgc,
    "ple": Ple,
    "ple_video": PleVideo,
    "esmm": Esmm,
    "dbmtl": Dbmtl,
    "meituan_search": MeituanSearch,
}
"""Spec name -> reference model."""

__all__ = ["REFERENCES"]
