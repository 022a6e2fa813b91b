"""Suggests the known word that a misspelt one was probably meant to be."""

from __future__ import annotations

from itertools import islice, takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

SYNONYMS: dict[str, tuple[str, ...]] = {
    "act": ("activation",), "batchnorm": ("batch",), "batch_norm": ("batch",), "batch_size": ("batch",),
    "bce": ("logistic",), "binary_crossentropy": ("logistic",), "categorical": ("sparse",),
    "classification": ("binary",), "continuous": ("dense",), "description": ("about",), "embedding": ("sparse",),
    "embedding_dim": ("dim",), "embedding_size": ("dim",), "features": ("inputs",), "from": ("start",),
    "gradient_clip_val": ("clip",), "heads": ("towers",), "hidden": ("units",), "hidden_units": ("units",),
    "hidden_sizes": ("units",), "input": ("from", "inputs"), "inputs": ("from",), "l1": ("mae",), "l2": ("mse",),
    "layer_norm": ("layer",), "layernorm": ("layer",), "layers": ("levels", "units"), "list": ("sequence",),
    "lr": ("learning_rate",), "max_epochs": ("epochs",), "multi_hot": ("sequence",), "multilabel": ("multiclass",),
    "n": ("count",), "normalization": ("norm",), "num_classes": ("classes",), "num_experts": ("count",),
    "number": ("count",), "numeric": ("dense",), "numerical": ("dense",), "objectives": ("tasks",),
    "one_hot": ("domain", "sparse"), "outputs": ("towers",), "size": ("dim", "vocab"), "sizes": ("units",),
    "source": ("from",), "top_k": ("topk",), "type": ("kind",), "version": ("archspec",), "vocab_size": ("vocab",),
    "vocabulary": ("vocab",), "*": ("all",), "any": ("all",), "everything": ("all",), "no": ("none",),
    "static": ("none",),
}  # fmt: skip
"""Words from other libraries -> the words that may be meant here."""

_MOST_SUGGESTED = 200  # how many known words a misspelt one is compared to
_MOST_SORTED = 5000  # how many known words these are chosen from
_LONGEST_WORD = 100  # longer words are not compared


def suggest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` was probably meant to be, if any."""
    from difflib import get_close_matches

    # If there are hundreds of words, only those of about the same length are compared, to save time.
    some = set(islice(known, _MOST_SORTED))
    words = sorted(some, key=lambda candidate: (abs(len(candidate) - len(word)), candidate))[:_MOST_SUGGESTED]
    same = [candidate for candidate in words if candidate.casefold() == word.casefold() and candidate != word]
    if not same:  # swapped letters: `form` is `from` rather than `norm`
        same = [candidate for candidate in words if candidate != word and sorted(candidate) == sorted(word)]
    if not same and len(word) <= _LONGEST_WORD:
        same = get_close_matches(word, words, n=_MOST_SUGGESTED)
        # Of equally similar words, choose the one with the longest common beginning: `AS304` for `AS3O4`, not `AS734`.
        same.sort(key=lambda near: _likeness(near, word), reverse=True)
    same = same or [meant for meant in SYNONYMS.get(word.casefold(), ()) if meant in some]
    return same[0] if same else None


def _likeness(near: str, word: str) -> tuple[float, int]:
    from difflib import SequenceMatcher

    alike = takewhile(lambda pair: pair[0] == pair[1], zip(near, word, strict=False))
    return SequenceMatcher(None, near, word).ratio(), sum(1 for _ in alike)
