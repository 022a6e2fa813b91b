"""The program: a list of immutable tensor operations in order, on values of known width; the batch size is symbolic.

This package contains operations, weights, the Scope with which kinds add operations, and the check of a program.
It must not know kinds, torch, or how a program is printed as Python.
"""

from archspec.program.builder import Builder
from archspec.program.given import GateInputs, Part, Rows, Seen, TrainedGate
from archspec.program.program import Init, Op, Output, Program, Slot, Storage, Value, Weight
from archspec.program.scope import Scope
from archspec.program.verify import verify

__all__ = [
    "Builder",
    "GateInputs",
    "Init",
    "Op",
    "Output",
    "Part",
    "Program",
    "Rows",
    "Scope",
    "Seen",
    "Slot",
    "Storage",
    "TrainedGate",
    "Value",
    "Weight",
    "verify",
]
