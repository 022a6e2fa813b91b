"""Limits the processor time of code: what needs more counts as hanging, whatever the load of the machine."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

SECONDS = 15
"""Processor time after which a spec hangs: the slowest legal one needs 2 s, with coverage on a slow machine 8 s."""
_WAITING = 30
"""How many times as long code may take that waits instead of using the processor."""


class HangError(AssertionError):
    """Code takes more processor time than it may, or waits for too long."""


class _Stop(BaseException):
    """Ends the code; none of its error handlers catches this, not even those for the errors of plugins."""


@contextmanager
def limited(seconds: float = SECONDS) -> Iterator[None]:
    """Stops code that takes this much processor time; unlike wall time, it does not depend on the machine's load."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise _Stop

    before = {name: signal.signal(name, stop) for name in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, _WAITING * seconds)
    try:
        yield
    except _Stop:
        raise HangError(f"more than {seconds} s of processor time, or {_WAITING * seconds} s of waiting") from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for name, handler in before.items():
            signal.signal(name, handler)
