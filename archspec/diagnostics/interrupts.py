"""Errors that Ctrl-C caused: code that it interrupts may raise another error while it cleans up."""

from __future__ import annotations


def was_interrupted(error: BaseException | None) -> bool:
    """Whether an error is a KeyboardInterrupt, or was raised while one was being handled."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, KeyboardInterrupt):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False
