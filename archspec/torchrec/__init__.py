"""The embedding tables of a spec in TorchRec, which can spread them over processes and machines.

TorchRec is not a dependency of archspec and only this package imports it; docs/scaling.md says how to install it.

`wrap` builds two halves from a spec. TorchRec holds the tables. The rest is compiled from the same spec with every
looked-up input declared as numbers, so the seam between lookup and network is an ordinary batch column: no built file
changes, and every pass of the compiler still runs on the network.

This is a function of its own and not an argument of `archspec.compile`, because the result is not a compiled module:
tables cannot be fused, `torch.export` does not trace it, and a process of several has only its own part of the tables.
"""

from archspec.torchrec.model import TorchRecModel
from archspec.torchrec.weights import gather_weights, load_weights
from archspec.torchrec.wrap import wrap

__all__ = ["TorchRecModel", "gather_weights", "load_weights", "wrap"]
