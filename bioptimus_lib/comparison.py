"""Two vocabularies side by side: pieces per word, coverage, length of a text, work of the encoder.

Everything is counted on words as BERT cuts them, with their counts, punctuation marks included: a
corpus of any size is then a table of words, and a comparison takes seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bioptimus_lib.wordpiece import require_wordpiece, train_wordpiece
from bioptimus_lib.words import words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Fit(NamedTuple):
    """How a vocabulary fits a text: running words and what they are cut into.

    Attributes:
        words: running words.
        pieces: into which they are cut.
        whole: words that are one piece, [UNK] not counted.
        unknown: words that become [UNK].
    """

    words: int
    pieces: int
    whole: int
    unknown: int

    @property
    def fertility(self) -> float:
        """Pieces per word."""
        return self.pieces / self.words

    @property
    def coverage(self) -> float:
        """Share of the running words that are one piece."""
        return self.whole / self.words


def fit(tokenizer: PreTrainedTokenizerBase, counts: Mapping[str, int]) -> Fit:
    """How a WordPiece tokenizer cuts words that are cut out and normalised already.

    Args:
        counts: word → count (``scan.count_words``).

    Raises:
        ValueError: no words, or another kind of tokenizer.
    """
    require_wordpiece(tokenizer)
    if not counts:
        raise ValueError("a vocabulary can only be fitted to at least one word")
    cut, unknown_id = tokenizer.backend_tokenizer.model.tokenize, tokenizer.unk_token_id
    total = pieces = whole = unknown = 0
    for word, count in counts.items():
        tokens = cut(word)
        total += count
        pieces += count * len(tokens)
        if len(tokens) == 1:
            known = tokens[0].id != unknown_id
            whole += count * known
            unknown += count * (not known)
    return Fit(total, pieces, whole, unknown)


def in_words(mentions: Iterable[str]) -> Counter[str]:
    """The words of entities or other short texts, each as often as it occurs.

    >>> sorted(in_words(["Lung cancer", "lung tumour"]).items())
    [('cancer', 1), ('lung', 2), ('tumour', 1)]
    """
    counts: Counter[str] = Counter()
    for mention in mentions:
        counts.update(words(mention))
    return counts


def lengths(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[int]:
    """Pieces of each text, with [CLS] and [SEP], however long it is."""
    return [
        len(row)
        for start in range(0, len(texts), 1000)
        for row in tokenizer(
            list(texts[start : start + 1000]), truncation=False, verbose=False
        )["input_ids"]
    ]


# -- what an encoder has to do for it --------------------------------------------------------------


class Shape(NamedTuple):
    """What the work of a BERT encoder depends on: layers, hidden size, size of its inner layer."""

    layers: int
    hidden: int
    inner: int


BERT_BASE = Shape(layers=12, hidden=768, inner=3072)


class Work(NamedTuple):
    """Multiplications of a forward pass through the encoder, in two parts.

    Attributes:
        linear: of the projections and the inner layers: grows with the pieces.
        attention: of each piece with each other: grows with their square.
    """

    linear: int
    attention: int

    @property
    def total(self) -> int:
        return self.linear + self.attention


def work(lengths: Iterable[int], shape: Shape = BERT_BASE) -> Work:
    """Multiplications for texts that are read one by one, without padding.

    A piece of one layer meets four H × H matrices (query, key, value, output) and two H × I ones;
    with each piece of its text it has one product of H terms for the score and one for the sum.
    Embeddings, softmax, normalisation and the output layer are left out.

    >>> work([100]).attention * 4 == work([200]).attention, work([100]).linear * 2 == work([200])[0]
    (True, True)
    """
    layers, hidden, inner = shape
    pieces = squares = 0
    for length in lengths:
        pieces += length
        squares += length * length
    return Work(
        linear=layers * pieces * (4 * hidden * hidden + 2 * hidden * inner),
        attention=layers * squares * 2 * hidden,
    )


# -- coverage against size -------------------------------------------------------------------------


def vocabularies(
    counts: Mapping[str, int], sizes: Iterable[int]
) -> dict[int, PreTrainedTokenizerBase]:
    """A vocabulary of each size, trained on the same words."""
    return {size: train_wordpiece(counts, size=size) for size in sizes}


def most_frequent(counts: Mapping[str, int], sizes: Iterable[int]) -> dict[int, float]:
    """The share of running words that the most frequent ones make up: no vocabulary covers more.

    >>> most_frequent({"the": 6, "drug": 3, "zinc": 1}, [1, 2, 9])
    {1: 0.6, 2: 0.9, 9: 1.0}
    """
    ordered = sorted(counts.values(), reverse=True)
    total = sum(ordered)
    return {size: sum(ordered[:size]) / total for size in sizes}


def curve(
    counts: Mapping[str, int], texts: Mapping[str, Mapping[str, int]], sizes: Iterable[int]
) -> dict[str, list[list[float]]]:
    """Coverage and pieces per word against the size of a vocabulary, for several texts.

    Args:
        counts: words to train on.
        texts: name → words to cut.

    Returns:
        Name → [size, coverage, pieces per word] for each size.

    Raises:
        ValueError: the words are not enough for a size.
    """
    points: dict[str, list[list[float]]] = {name: [] for name in texts}
    for tokenizer in vocabularies(counts, sizes).values():
        for name, words_of_text in texts.items():
            found = fit(tokenizer, words_of_text)
            points[name].append(
                [len(tokenizer), round(found.coverage, 5), round(found.fertility, 5)]
            )
    return points


# -- what is saved ---------------------------------------------------------------------------------

LEAST_WORDS, MOST_TEXTS = 100, 3000  # of a text, about an abstract; and texts that are looked at
WINDOW = 512


def saving(
    old: PreTrainedTokenizerBase,
    new: PreTrainedTokenizerBase,
    texts: Iterable[str],
    *,
    shape: Shape = BERT_BASE,
) -> dict[str, float]:
    """What another vocabulary saves the encoder on texts of the length of an abstract, and more.

    Texts of fewer than ``LEAST_WORDS`` words are passed over, and at most ``MOST_TEXTS`` are read.

    Returns:
        texts: how many; for ``old`` and ``new``: mean pieces of a text, the share of texts that
        are longer than the window; and the work with the new vocabulary over that with the old
        one: ``linear``, ``attention`` and ``total``. No text at all gives an empty dict.
    """
    chosen: list[str] = []
    for text in texts:
        if len(text.split()) >= LEAST_WORDS:
            chosen.append(text)
        if len(chosen) == MOST_TEXTS:
            break
    if not chosen:
        return {}
    before, after = lengths(old, chosen), lengths(new, chosen)
    one, other = work(before, shape), work(after, shape)
    return {
        "texts": len(chosen),
        "old_length": round(sum(before) / len(before), 2),
        "new_length": round(sum(after) / len(after), 2),
        "old_too_long": round(sum(n > WINDOW for n in before) / len(before), 5),
        "new_too_long": round(sum(n > WINDOW for n in after) / len(after), 5),
        "linear": round(other.linear / one.linear, 5),
        "attention": round(other.attention / one.attention, 5),
        "total": round(other.total / one.total, 5),
    }
