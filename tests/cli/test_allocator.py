"""Memory that the C library keeps while `archspec train` runs."""

from __future__ import annotations

import ctypes
import sys

import pytest

from archspec.cli import allocator
from benchmarks import fresh

GLIBC = sys.platform.startswith("linux") and hasattr(ctypes.CDLL(None), "mallopt")

FAULTED = """
import resource, sys
import archspec.cli
import archspec.cli.app
sys.argv = ["archspec", *sys.argv[1:]]
archspec.cli.app.run = lambda: 0
archspec.cli.main()
def blocks(): b"x" * (96 * 2**20), b"x" * (40 * 2**20)
blocks()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
blocks()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not GLIBC, reason="another C library")
def test_training_reuses_large_blocks() -> None:
    """After `archspec train` has started, a large block that was freed is used again, and not faulted in again."""
    kept, returned = (fresh.run(FAULTED, command, timeout=60) for command in ("train", "validate"))
    assert kept < returned / 10  # huge pages make few faults of many


def test_another_system_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is for glibc only."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not allocator.keep_large_blocks()
