"""Which known word a misspelt one was meant to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_SUGGESTED = 200  # words that a misspelt one is compared to
_LONGEST_WORD = 100  # characters of a word worth comparing


def suggest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was probably meant to be, if any."""
    from difflib import get_close_matches

    # Of hundreds of words, those of about the same length are compared: more is not worth the time.
    words = sorted(set(known), key=lambda candidate: (abs(len(candidate) - len(word)), candidate))[:_MOST_SUGGESTED]
    same = [candidate for candidate in words if candidate.casefold() == word.casefold() and candidate != word]
    if not same:  # swapped letters: `form` is `from` rather than `norm`
        same = [candidate for candidate in words if candidate != word and sorted(candidate) == sorted(word)]
    if not same and len(word) <= _LONGEST_WORD:
        same = get_close_matches(word, words, n=1)
    return same[0] if same else None
