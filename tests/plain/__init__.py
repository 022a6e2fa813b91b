"""Handwritten plain PyTorch models, one per architecture, with which compiled specs are compared.

They never import archspec. `REFERENCES` maps the name of a spec in `specs/` to its class; a class without arguments
has the sizes of the spec, `INPUTS` describes its batch, and its state dict has the canonical weight names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .adatt import Adatt
from .aitm import Aitm
from .apg import Apg
from .asymmetric_sharing import AsymmetricSharing
from .cgc import Cgc
from .cross_stitch import CrossStitch
from .customized_sharing import CustomizedSharing
from .dbmtl import Dbmtl
from .dcmt import Dcmt
from .deepseek_moe import DeepseekMoe
from .din_ple import DinPle
from .dselect_k import DselectK
from .escm2 import Escm2
from .esm2 import Esm2
from .esmm import Esmm
from .hamur import Hamur
from .hinet import Hinet
from .hmoe import Hmoe
from .home import Home
from .m2m import M2m
from .m3oe import M3oe
from .meituan_search import MeituanSearch
from .ml_mmoe import MlMmoe
from .mlora import Mlora
from .mmoe import Mmoe
from .mmoe_mixed import MmoeMixed
from .moe import Moe
from .mtan import Mtan
from .pepnet import Pepnet
from .ple import Ple
from .ple_video import PleVideo
from .poso import Poso
from .rankmixer import Rankmixer
from .sarnet import Sarnet
from .shared_bottom import SharedBottom
from .sluice import Sluice
from .smes import Smes
from .snr import SnrAver, SnrTrans
from .star import Star
from .stem import Stem
from .wukong import Wukong

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

MODERN: dict[str, type[Reference]] = {
    "adatt": Adatt,
    "pepnet": Pepnet,
    "home": Home,
    "stem": Stem,
    "snr_trans": SnrTrans,
    "snr_aver": SnrAver,
    "hinet": Hinet,
    "m3oe": M3oe,
    "poso": Poso,
    "mtan": Mtan,
    "dselect_k": DselectK,
    "aitm": Aitm,
    "deepseek_moe": DeepseekMoe,
    "star": Star,
    "sluice": Sluice,
    "escm2": Escm2,
    "mmoe_mixed": MmoeMixed,
    "esm2": Esm2,
    "hmoe": Hmoe,
    "sarnet": Sarnet,
    "mlora": Mlora,
    "apg": Apg,
    "hamur": Hamur,
    "m2m": M2m,
    "smes": Smes,
    "dcmt": Dcmt,
    "din_ple": DinPle,
    "rankmixer": Rankmixer,
    "wukong": Wukong,
}
"""The same for the architectures after PLE, some of which need a plugin."""

__all__ = ["MODERN", "REFERENCES"]
