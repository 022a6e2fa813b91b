"""Which known word a misspelt one was meant to be."""

from __future__ import annotations

from itertools import islice, takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_SUGGESTED = 200  # words that a misspelt one is compared to
_MOST_SORTED = 5000  # words of which these are chosen
_LONGEST_WORD = 100  # characters of a word worth comparing


def suggest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was probably meant to be, if any."""
    from difflib import get_close_matches

    # Of hundreds of words, those of about the same length are compared: more is not worth the time.
    some = set(islice(known, _MOST_SORTED))
    words = sorted(some, key=lambda candidate: (abs(len(candidate) - len(word)), candidate))[:_MOST_SUGGESTED]
    same = [candidate for candidate in words if candidate.casefold() == word.casefold() and candidate != word]
    if not same:  # swapped letters: `form` is `from` rather than `norm`
        same = [candidate for candidate in words if candidate != word and sorted(candidate) == sorted(word)]
    if not same and len(word) <= _LONGEST_WORD:
        same = get_close_matches(word, words, n=_MOST_SUGGESTED)
        # Of words equally like it, the one that begins alike: `AS3O4` is `AS304` rather than `AS734`.
        same.sort(key=lambda near: _likeness(near, word), reverse=True)
    return same[0] if same else None


def _likeness(near: str, word: str) -> tuple[float, int]:
    from difflib import SequenceMatcher

    alike = takewhile(lambda pair: pair[0] == pair[1], zip(near, word, strict=False))
    return SequenceMatcher(None, near, word).ratio(), sum(1 for _ in alike)
