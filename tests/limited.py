"""Limits the processor time of a test: one that needs more counts as hanging, whatever the load of the machine."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

SECONDS = 15
"""Processor time after which a spec hangs: the slowest legal one needs 2 s, with coverage on a slow machine 8 s."""


class HangError(AssertionError):
    """A spec takes more processor time than any spec may."""


@contextmanager
def limited(seconds: int = SECONDS) -> Iterator[None]:
    """Stops code that takes this much processor time; unlike wall time, it does not depend on the machine's load."""

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
