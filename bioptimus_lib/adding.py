"""Three ways of adding words to a tokenizer instead of replacing its vocabulary.

They differ in where the new words are looked up. ``add_tokens`` cuts them out of the text before
BERT has cut it into words, so also out of the middle of longer words; ``single_word=True`` keeps it
to whole words; a piece of the WordPiece vocabulary itself takes part in the cutting of all words.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from bioptimus_lib.wordpiece import (
    CONTINUATION,
    bert_tokenizer,
    is_lowercase,
    pieces_of,
    require_wordpiece,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def add_anywhere(
    tokenizer: PreTrainedTokenizerBase, new: Sequence[str]
) -> PreTrainedTokenizerBase:
    """``add_tokens`` of Transformers as most people call it; the tokenizer given is not changed."""
    changed = copy.deepcopy(tokenizer)
    changed.add_tokens(list(new))
    return changed


def add_whole_words(
    tokenizer: PreTrainedTokenizerBase, new: Sequence[str]
) -> PreTrainedTokenizerBase:
    """``add_tokens`` for whole words only."""
    from tokenizers import AddedToken

    changed = copy.deepcopy(tokenizer)
    changed.add_tokens([AddedToken(word, single_word=True, normalized=True) for word in new])
    return changed


def add_pieces(
    tokenizer: PreTrainedTokenizerBase, new: Sequence[str]
) -> PreTrainedTokenizerBase:
    """New entries at the end of the WordPiece vocabulary; the old ids stay."""
    return bert_tokenizer(
        [*pieces_of(tokenizer), *new],
        lowercase=is_lowercase(tokenizer),
        max_length=tokenizer.model_max_length,
    )


@dataclass(frozen=True)
class Way:
    """A way of adding words: its name, what it does, and the function that does it."""

    name: str
    about: str
    add: Callable[[PreTrainedTokenizerBase, Sequence[str]], PreTrainedTokenizerBase]


WAYS: tuple[Way, ...] = (
    Way("add_tokens", "cut out of the text first, also inside words", add_anywhere),
    Way("single_word", "cut out of the text first, as whole words", add_whole_words),
    Way("WordPiece", "entries of the vocabulary like all others", add_pieces),
)


def new_words(old: PreTrainedTokenizerBase, new: PreTrainedTokenizerBase) -> list[str]:
    """The pieces of ``new`` that ``old`` lacks and that begin a word, in the order of their ids.

    ``add_tokens`` can add no others: a continuation would be looked for with its two hashes.
    """
    known = set(pieces_of(old))
    return [p for p in pieces_of(new) if p not in known and not p.startswith(CONTINUATION)]


class Change(NamedTuple):
    """What another tokenizer does to words that were not meant.

    Attributes:
        words: running words that were looked at.
        recut: of these, how many are cut in another way than before.
        broken: of these, how many do not come back from ``decode`` as they were.
        pieces: into which they are cut.
    """

    words: int
    recut: int
    broken: int
    pieces: int


def side_effects(
    old: PreTrainedTokenizerBase,
    changed: PreTrainedTokenizerBase,
    counts: Mapping[str, int],
    *,
    meant: Iterable[str] = (),
) -> Change:
    """What a changed tokenizer does to all words but those that were added.

    Args:
        counts: normalised word → count.
        meant: the words that were added.

    Raises:
        ValueError: no word is left to look at, or ``old`` is no WordPiece tokenizer.
    """
    require_wordpiece(old)
    left_out = set(meant)
    others = [word for word in counts if word not in left_out]
    if not others:
        raise ValueError("all words were meant: no other word to look at")
    total = recut = broken = pieces = 0
    for start in range(0, len(others), 10_000):
        some = others[start : start + 10_000]
        before, after = (_cuts(tokenizer, some) for tokenizer in (old, changed))
        for word, one, other in zip(some, before, after, strict=True):
            total += counts[word]
            pieces += counts[word] * len(other)
            if one != other:
                recut += counts[word]
                broken += counts[word] * (round_trip(changed, word) != word)
    return Change(total, recut, broken, pieces)


def _cuts(tokenizer: PreTrainedTokenizerBase, words: list[str]) -> list[list[str]]:
    """The pieces of each word by name: ids of two tokenizers cannot be compared."""
    encoded = tokenizer(words, add_special_tokens=False, verbose=False)
    return [encoded.tokens(i) for i in range(len(words))]


def round_trip(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """A text cut into pieces and put together again.

    Blanks around punctuation are left as ``decode`` puts them.
    """
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
