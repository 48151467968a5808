"""One set of predictions, scored in several ways: what each way forgives, and what that adds to F1.

The numbers of two papers can only be compared if both scored in the same way. The ways here are
those that are met: strict IOB2, seqeval's default (the rules of ``conlleval``), each piece for
itself, only what fits into one window, ends alone. All begin with the same tags, so what they
differ by is the scoring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from bioptimus_lib.conll import Sentence, check_lengths, entities, repair
from bioptimus_lib.entity_score import score
from bioptimus_lib.windows import pieces_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STRICT, DEFAULT, PIECES = "strict IOB2", "seqeval's default", "every piece"
ENDS, FORGOTTEN, MISSED = "ends alone", "cut at {}, rest forgotten", "cut at {}, rest missed"
BEST_PATH = "strict IOB2, best valid path"
#: Way to score → what it does; ``{}`` stands for the pieces of a window.
WAYS: dict[str, str] = {
    STRICT: "type and both ends must be right; an orphan I- is no entity",
    BEST_PATH: "the same, for the best tags without an orphan in place of each token's best",
    DEFAULT: "an orphan I- begins an entity, as in conlleval",
    PIECES: "each piece has the tag of its token and is scored by seqeval's default",
    ENDS: "both ends must be right, the type may be any",
    FORGOTTEN: "a sentence is its first {} pieces; what comes behind is not asked",
    MISSED: "the same, but an entity that is cut or behind the cut counts as missed",
}
WINDOWS = (128, 64, 32)
Tags = Sequence[Sequence[str]]
Score = dict[str, float]


def by_way(
    gold: Tags, predicted: Tags, sizes: Sequence[Sequence[int]], *, windows: Sequence[int] = WINDOWS
) -> dict[str, Score]:
    """The score of the same predictions by each way of ``WAYS`` but ``BEST_PATH``.

    Args:
        gold, predicted: a tag for each token of each sentence; the best tag of each token, as
            scripts take it, orphans and all.
        sizes: pieces of each token, from ``piece_sizes``.
        windows: pieces that a sentence is cut at, ``[CLS]`` and ``[SEP]`` among them.

    Returns:
        way → ``precision``, ``recall``, ``f1`` in percent, ``gold`` and ``predicted`` entities.

    Raises:
        ValueError: another number of tags or sizes than of tokens.
    """
    check_lengths(gold, predicted)
    check_lengths(gold, sizes)
    found = {
        STRICT: plain(gold, predicted),
        DEFAULT: plain([repair(tags) for tags in gold], [repair(tags) for tags in predicted]),
        PIECES: plain(*(
            [repair(on_pieces(tags, n)) for tags, n in zip(side, sizes, strict=True)]
            for side in (gold, predicted)
        )),
        ENDS: plain(*([ends_alone(tags) for tags in side] for side in (gold, predicted))),
    }  # fmt: skip
    for window in windows:
        shown = [fitting(n, window) for n in sizes]
        cut = [tags[:n] for tags, n in zip(predicted, shown, strict=True)]
        left = [tags[:n] for tags, n in zip(gold, shown, strict=True)]
        filled = [
            [*tags, *["O"] * (len(whole) - len(tags))]
            for tags, whole in zip(cut, gold, strict=True)
        ]
        found[FORGOTTEN.format(window)] = plain(left, cut)
        found[MISSED.format(window)] = plain(gold, filled)
    return found


def plain(gold: Tags, predicted: Tags) -> Score:
    """The strict score without its types."""
    found = score(gold, predicted)
    del found["types"]
    return found


def inflation(found: Mapping[str, Score]) -> dict[str, float]:
    """F1 of each way minus strict F1."""
    return {way: one["f1"] - found[STRICT]["f1"] for way, one in found.items()}


# --- parts -------------------------------------------------------------------------------------


def piece_sizes(
    sentences: Sequence[Sentence], tokenizer: PreTrainedTokenizerBase
) -> list[list[int]]:
    """Pieces of each token of each sentence; one that the tokenizer drops is shown as one piece."""
    words = sorted({token for sentence in sentences for token in sentence.tokens})
    size = {word: max(1, len(ids)) for word, ids in pieces_of(words, tokenizer).items()}
    return [[size[token] for token in sentence.tokens] for sentence in sentences]


def on_pieces(tags: Sequence[str], sizes: Sequence[int]) -> list[str]:
    """Each piece with the tag of its token: a token of three pieces that begins an entity begins
    three, and this is how one entity becomes several.

    >>> on_pieces(["B-Drug", "I-Drug", "O"], [3, 1, 2])
    ['B-Drug', 'B-Drug', 'B-Drug', 'I-Drug', 'O', 'O']
    """
    return [tag for tag, size in zip(tags, sizes, strict=True) for _ in range(size)]


def ends_alone(tags: Sequence[str], kind: str = "any") -> list[str]:
    """The tags with one type for all; two entities that touch stay two.

    >>> ends_alone(["B-Drug", "I-Drug", "I-Gene", "O"])
    ['B-any', 'I-any', 'O', 'O']
    """
    merged = ["O"] * len(tags)
    for _, start, stop in entities(tags):
        merged[start:stop] = [f"B-{kind}", *[f"I-{kind}"] * (stop - start - 1)]
    return merged


def fitting(sizes: Sequence[int], window: int) -> int:
    """How many tokens have their first piece in a window that begins with the sentence.

    >>> fitting([1, 4, 2, 1], 8)  # six pieces beside [CLS] and [SEP]: the third begins at the sixth
    3
    """
    if window < 3:
        raise ValueError(f"a window of {window} pieces has no room beside [CLS] and [SEP]")
    begins = [0, *accumulate(sizes)][: len(sizes)]
    return sum(begin < window - 2 for begin in begins)
