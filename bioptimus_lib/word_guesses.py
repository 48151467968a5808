"""What a model guesses of whole words: by kind of word, by frequency, by number of pieces, and what
the pieces of a word betray of each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from bioptimus_lib.conll import Sentence, entities
from bioptimus_lib.guessing import WHOLE_WORDS, Guesses, asked, guesses, joined, on_device_of
from bioptimus_lib.masked_loss import EVALUATION_SEED
from bioptimus_lib.masking import IGNORED, Masking, PieceTable, generator_for, mask
from bioptimus_lib.wordpiece import CONTINUATION
from bioptimus_lib.words import function_words, words

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

KINDS = ("entity", "function", "other", "no letters")
EDGES = (10, 100, 1000)  # of the frequency bands


class Tally(NamedTuple):
    """So many right of so many."""

    right: int
    total: int

    @property
    def share(self) -> float:
        """NaN of none."""
        return self.right / self.total if self.total else float("nan")

    @property
    def error(self) -> float:
        """Standard error of the share, as if all were drawn one by one; NaN of none.

        One is added to both sides, so that "all of three" does not look certain.
        """
        p = (self.right + 1) / (self.total + 2)
        return (p * (1 - p) / (self.total + 2)) ** 0.5 if self.total else float("nan")


class Spans(NamedTuple):
    """The words of packed blocks.

    Attributes:
        number: int64 (N, T), number of the word at each place, −1 at special pieces.
        text: the words, normalised, without ``##``.
        pieces: int64 (words,), how many pieces each has.
        whole: bool (words,), false where the edge of a block may have cut it.
    """

    number: np.ndarray
    text: list[str]
    pieces: np.ndarray
    whole: np.ndarray


def spans(blocks: np.ndarray, tokenizer: PreTrainedTokenizerBase) -> Spans:
    """The words of packed blocks (N, T), numbered in the order of the text."""
    table = PieceTable.of(tokenizer)
    continues, special = table.continues.numpy(), table.special.numpy()
    ids = np.asarray(blocks).astype("int64")
    inner = ~special[ids]
    after = np.zeros_like(inner)
    after[:, 1:] = inner[:, :-1]
    start = inner & ~(continues[ids] & after)
    number = np.where(inner, start.cumsum().reshape(ids.shape) - 1, -1)
    names = tokenizer.convert_ids_to_tokens(list(range(len(special))))
    parts = [name.removeprefix(CONTINUATION) for name in names]
    text = [""] * int(start.sum())
    for word, piece in zip(number[inner].tolist(), ids[inner].tolist(), strict=True):
        text[word] += parts[piece]
    whole = ~continues[ids[start]]
    last = number[:, -2]  # goes on in the next block, or not: nobody can tell here
    whole[last[last >= 0]] = False
    return Spans(number, text, np.bincount(number[inner], minlength=len(text)), whole)


def entity_words(sentences: Iterable[Sentence], *, share: float = 0.5) -> frozenset[str]:
    """Words that stand inside a gold entity in at least ``share`` of their occurrences.

    Function words and words without a letter are none.

    >>> sorted(entity_words([Sentence(("Lung", "cancer", "was"), ("B-X", "I-X", "O"))]))
    ['cancer', 'lung']
    """
    inside: dict[str, int] = {}
    total: dict[str, int] = {}
    for sentence in sentences:
        held = {i for _, start, stop in entities(sentence.tags) for i in range(start, stop)}
        for place, token in enumerate(sentence.tokens):
            for word in words(token):
                total[word] = total.get(word, 0) + 1
                inside[word] = inside.get(word, 0) + (place in held)
    return frozenset(
        w for w, n in inside.items()
        if n and n >= share * total[w] and kind_of(w, frozenset()) == "other"
    )


def kind_of(word: str, entity: frozenset[str] | set[str]) -> str:
    """One of ``KINDS``: the first that fits of no letters, function, entity, other."""
    if not any(c.isalpha() for c in word):
        return "no letters"
    if word in function_words():
        return "function"
    return "entity" if word in entity else "other"


def band_names(edges: Sequence[int] = EDGES) -> list[str]:
    """Names of the frequency bands between edges, ``never`` first.

    >>> band_names([10, 100])
    ['never', '1 to 10', '11 to 100', 'over 100']
    """
    lows = [1, *(edge + 1 for edge in edges[:-1])]
    inner = [f"{low:,} to {high:,}" for low, high in zip(lows, edges, strict=True)]
    return ["never", *inner, f"over {edges[-1]:,}"]


def accuracy_by_band(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    counts: Mapping[str, int],
    entity: frozenset[str] | set[str],
    *,
    edges: Sequence[int] = EDGES,
    rate: float = 0.15,
    draws: int = 1,
) -> dict[str, dict[str, Tally]]:
    """How many whole hidden words are guessed, by kind of word and by frequency.

    A word is right if all its pieces are. All pieces of a chosen word are ``[MASK]``; words that
    the edge of a block may have cut do not count.

    Args:
        counts: word → how often the training text has it.
        entity: the words that are entity words, as from ``entity_words``.
        edges: upper ends of the frequency bands, rising.
        rate: share of the pieces that is hidden.
        draws: how many times the words to hide are drawn.

    Returns:
        kind → band → tally; all of ``KINDS`` and all bands are there.
    """
    names = band_names(edges)
    laid, right, times = _words_guessed(model, tokenizer, blocks, rate=rate, draws=draws)
    table = {kind: dict.fromkeys(names, Tally(0, 0)) for kind in KINDS}
    for word in np.flatnonzero(laid.whole & (times > 0)):
        text = laid.text[word]
        band = names[_band(counts.get(text, 0), edges)]
        row = table[kind_of(text, entity)]
        row[band] = Tally(row[band].right + int(right[word]), row[band].total + int(times[word]))
    return table


def accuracy_by_repeat(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    entity: frozenset[str] | set[str],
    *,
    rate: float = 0.15,
    draws: int = 1,
) -> dict[str, dict[str, Tally]]:
    """How many whole hidden words are guessed, apart for words that their block holds again.

    Returns:
        kind → ``again in its block`` or ``only here`` → tally; the other occurrences may be hidden,
        too, at a low rate seldom all of them.
    """
    laid, right, times = _words_guessed(model, tokenizer, blocks, rate=rate, draws=draws)
    row = np.zeros(len(laid.text), int)
    inner = laid.number >= 0
    row[laid.number[inner]] = np.nonzero(inner)[0]
    often = Counter(zip(row.tolist(), laid.text, strict=True))
    names = ("again in its block", "only here")
    table = {kind: dict.fromkeys(names, Tally(0, 0)) for kind in KINDS}
    for word in np.flatnonzero(laid.whole & (times > 0)):
        text = laid.text[word]
        where = names[often[int(row[word]), text] == 1]
        some = table[kind_of(text, entity)]
        some[where] = Tally(some[where].right + int(right[word]),
                            some[where].total + int(times[word]))  # fmt: skip
    return table


def accuracy_by_pieces(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    *,
    most: int = 3,
    rate: float = 0.15,
    draws: int = 1,
) -> dict[str, Tally]:
    """How many whole hidden words are guessed, by how many pieces they have.

    The last group holds words of ``most`` pieces or more; all groups are there.
    """
    laid, right, times = _words_guessed(model, tokenizer, blocks, rate=rate, draws=draws)
    sizes = np.minimum(laid.pieces, most)
    names = {1: "1 piece"} | {n: f"{n} pieces" for n in range(2, most)} | {most: f"{most} or more"}
    some = {n: laid.whole & (sizes == n) for n in names}
    return {
        name: Tally(int(right[some[n]].sum()), int(times[some[n]].sum()))
        for n, name in names.items()
    }


def _words_guessed(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    *,
    rate: float,
    draws: int,
) -> tuple[Spans, np.ndarray, np.ndarray]:
    """The words, how often each was guessed with all its pieces, and how often it was hidden."""
    laid = spans(blocks, tokenizer)
    right = np.zeros(len(laid.text), int)
    times = np.zeros(len(laid.text), int)
    for draw in range(draws):
        found = guesses(
            model, tokenizer, blocks, Masking("word", rate, False), seed=EVALUATION_SEED + draw
        )
        number = laid.number[found.block, found.place]
        hits = np.bincount(number, weights=found.right, minlength=len(right))
        hidden = np.bincount(number, minlength=len(right)) > 0
        times += hidden
        right += hidden & (hits == laid.pieces)
    return laid, right, times


def _band(count: int, edges: Sequence[int]) -> int:
    """0 for words that never occur, then 1 for those up to the first edge, and so on."""
    return 0 if count == 0 else 1 + int(np.searchsorted(edges, count))


def by_kind(table: Mapping[str, Mapping[str, Tally]]) -> dict[str, Tally]:
    """The tallies of ``accuracy_by_band`` summed over the bands."""
    return {
        kind: Tally(sum(t.right for t in row.values()), sum(t.total for t in row.values()))
        for kind, row in table.items()
    }


class Siblings(NamedTuple):
    """Guesses of single pieces of words of several pieces, the same M twice.

    Attributes:
        hidden: with the other pieces of the word hidden, too.
        seen: with them in sight, and all else as before.
        first: bool (M,), whether the piece begins its word.
    """

    hidden: Guesses
    seen: Guesses
    first: np.ndarray


def siblings(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    blocks: np.ndarray,
    *,
    draws: int = 1,
    batch: int = 64,
    seed: int = EVALUATION_SEED,
) -> Siblings:
    """What the other pieces of a word betray of one of them.

    Words are hidden whole. In each block one hidden word of several pieces is drawn, and one piece
    of it, which is guessed: first as it is, then with its siblings put back. Nothing else in the
    block changes.

    Raises:
        ValueError: no word of several pieces was hidden.
    """
    pieces = PieceTable.of(tokenizer)
    parts: list[tuple[Guesses, Guesses]] = []
    for draw in range(draws):
        for start in range(0, len(blocks), batch):
            some = blocks[start : start + batch]
            ids, laid = on_device_of(model, some), spans(some, tokenizer)
            generator = generator_for(seed + draw, start)
            inputs, labels = mask(ids, WHOLE_WORDS, pieces.to(model.device), generator=generator)
            chance = np.random.default_rng([seed + draw, start]).random(laid.number.shape)
            fits = (laid.pieces > 1) & laid.whole
            chance[(labels == IGNORED).cpu().numpy() | ~fits[laid.number]] = -1.0
            place = chance.argmax(1)  # one piece for each block, if it has any
            rows = np.flatnonzero(chance.max(1) >= 0)
            if not len(rows):
                continue
            one = np.zeros(chance.shape, bool)
            one[rows, place[rows]] = True
            word = laid.number[rows, place[rows]]
            back = np.zeros(chance.shape, bool)
            back[rows] = (laid.number[rows] == word[:, None]) & ~one[rows]
            only = labels.masked_fill(~torch.from_numpy(one).to(ids.device), IGNORED)
            in_sight = torch.where(torch.from_numpy(back).to(ids.device), ids, inputs)
            unseen, shown = (asked(model, ids, only, first=start) for ids in (inputs, in_sight))
            parts.append((unseen, shown))
    if not parts:
        raise ValueError("no word of several pieces was hidden: give more blocks")
    hidden, seen = (joined([part[side] for part in parts]) for side in (0, 1))
    return Siblings(hidden, seen, ~pieces.continues.numpy()[hidden.answer])
