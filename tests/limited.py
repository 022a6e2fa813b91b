"""Processor time that a test may take: what needs more hangs, whatever the load of the machine."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

SECONDS = 5
"""Processor time after which a spec hangs, on a slow machine."""


class HangError(AssertionError):
    """A spec that takes more processor time than any has a right to."""


@contextmanager
def limited(seconds: int = SECONDS) -> Iterator[None]:
    """Stops what takes so much processor time; where another program's load is high, the wall clock does not count."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise HangError(f"more than {seconds} s of processor time")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
