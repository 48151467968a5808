"""WordPiece tokenizers: built from a list of pieces, trained on words and their counts, measured.

Two faults of the plain recipe are mended. The trainer of ``tokenizers`` numbers equal candidates in
the order of a randomly seeded hash table, so two runs on the same text differ in some pieces. And
its pieces are the steps of a merging procedure, of which longest-match cutting never uses the ones
that grew into something longer: a tenth of a vocabulary, in which no row would ever be trained.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPECIAL_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CONTINUATION = "##"
SPARE = 1.5  # pieces learned per piece asked for
LONGEST_WORD = 100  # characters; BERT reads a longer word as [UNK]
LEAST_SHARE = 0.5  # of the size asked for: what a small corpus must give at least

log = logging.getLogger(__name__)


def bert_tokenizer(
    pieces: Iterable[str], *, lowercase: bool = True, max_length: int = 512
) -> PreTrainedTokenizerBase:
    """A BERT tokenizer over a list of pieces, whose ids are their places in the list.

    Raises:
        ValueError: a piece occurs twice, or a special piece is missing.
    """
    from transformers import BertTokenizer

    pieces = list(pieces)
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    if len(vocabulary) != len(pieces):
        raise ValueError(f"{len(pieces) - len(vocabulary)} pieces occur twice in the vocabulary")
    if missing := [p for p in SPECIAL_PIECES if p not in vocabulary]:
        raise ValueError(f"the vocabulary lacks the special pieces {missing}")
    tokenizer = BertTokenizer(
        vocab=vocabulary, do_lower_case=lowercase, model_max_length=max_length
    )
    # Transformers has changed what its constructor takes before: trust, but count.
    if len(tokenizer) != len(pieces):
        raise ValueError(f"the tokenizer has {len(tokenizer)} pieces instead of {len(pieces)}")
    return tokenizer


def pieces_of(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """All pieces of a tokenizer in the order of their ids."""
    return tuple(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))))


def require_wordpiece(tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer that does not cut words as BERT does.

    Raises:
        ValueError: it is of another kind (BPE, Unigram), or one without the fast backend.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    kind = type(tokenizer).__name__ if backend is None else type(backend.model).__name__
    if kind != "WordPiece":
        raise ValueError(
            f"a WordPiece tokenizer is needed, as BERT has it, not one of kind {kind}: "
            "take a model of the BERT family"
        )


def is_lowercase(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a tokenizer folds case before it looks words up."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    return bool(getattr(normalizer, "lowercase", getattr(tokenizer, "do_lower_case", False)))


def count_in_texts(texts: Iterable[str]) -> Counter[str]:
    """Count the words of texts as an uncased BERT cuts them (no accents, punctuation alone).

    >>> sorted(count_in_texts(["Café, café."]).items())
    [(',', 1), ('.', 1), ('cafe', 2)]
    """
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    normalizer, pre_tokenizer = BertNormalizer(lowercase=True), BertPreTokenizer()
    counts: Counter[str] = Counter()
    for text in texts:
        words = pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(text))
        counts.update(word for word, _ in words)
    return counts


def train_wordpiece(
    texts: Iterable[str] | Mapping[str, int],
    *,
    size: int | None = None,
    like: PreTrainedTokenizerBase | None = None,
    alphabet: int = 400,
    max_length: int = 512,
    progress: bool = False,
) -> PreTrainedTokenizerBase:
    """Train a lower-cased WordPiece vocabulary of ``size`` pieces, all of them in use.

    A corpus too small for that many gives a smaller vocabulary and a logged warning, down to
    ``LEAST_SHARE`` of the size; what is smaller still is an error.

    The same words and counts give the same vocabulary in every process, in any order. More pieces
    are learned than asked for, and those that no counted word is cut into are left out; they come
    back, the first learned first, only where the text gives too few others.

    Args:
        texts: any strings, normalised and cut into words as BERT does; or, many times faster,
            word → count as ``scan.count_words`` gives it.
        size: pieces in the result, the special ones included; by default as many as ``like`` has.
        like: the tokenizer that this one is to replace: size, window and the ids of the special
            pieces are taken from it, so that these rows of a model stay where they are.
        alphabet: how many different characters to keep, the most frequent ones; words with
            other characters are left out, since the tokenizer will read them as [UNK].
        max_length: window of the model that the tokenizer is for, in pieces.
        progress: show the trainer's progress bar.

    Raises:
        ValueError: no size given; no words; the text gives less than half that many pieces;
            ``like`` is cased, no WordPiece tokenizer, or lacks a special piece.
    """
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.pre_tokenizers import WhitespaceSplit
    from tokenizers.trainers import WordPieceTrainer

    special = {piece: i for i, piece in enumerate(SPECIAL_PIECES)}
    if like is not None:
        require_wordpiece(like)
        if not is_lowercase(like):
            raise ValueError(
                "the old tokenizer is cased, and the new vocabulary would be lower-cased: "
                "start from an uncased model"
            )
        special = {piece: i for i, piece in enumerate(pieces_of(like)) if piece in SPECIAL_PIECES}
        if missing := set(SPECIAL_PIECES) - set(special):
            raise ValueError(f"the old tokenizer lacks the special pieces {sorted(missing)}")
        size, max_length = size or len(like), like.model_max_length
    if size is None:
        raise ValueError("give the size of the vocabulary, or a tokenizer to be like")
    if size <= max(special.values()):
        raise ValueError(f"a vocabulary of {size} has no room for [MASK] at id {special['[MASK]']}")

    counts = texts if isinstance(texts, Mapping) else count_in_texts(texts)
    if not counts:
        raise ValueError("the corpus holds no words: there is nothing to learn a vocabulary from")
    kept, characters = _within_alphabet(counts, alphabet)
    # The trainer numbers continuing characters in the order of a randomly seeded hash table and
    # breaks ties by these numbers. Given beforehand as special pieces they have a fixed order.
    trainer = WordPieceTrainer(
        vocab_size=round(SPARE * size),
        min_frequency=2,
        show_progress=progress,
        special_tokens=[*SPECIAL_PIECES, *characters],
    )
    learner = Tokenizer(WordPiece(unk_token="[UNK]"))
    learner.pre_tokenizer = WhitespaceSplit()
    learner.train_from_iterator(_repeated(kept), trainer)
    vocabulary = learner.get_vocab()
    if len(vocabulary) < size:
        found = f"the corpus gives {len(vocabulary):,} pieces, not the {size:,} asked for"
        if len(vocabulary) < max(LEAST_SHARE * size, max(special.values()) + 1):
            raise ValueError(f"{found}: use more text or a smaller vocabulary")
        log.warning("%s: the vocabulary is that small", found)
        size = len(vocabulary)
    if len(SPECIAL_PIECES) + len(characters) > size:
        raise ValueError(
            f"{len(characters)} characters do not fit into {size} pieces: "
            "use a larger vocabulary or a smaller alphabet"
        )
    learned = sorted(vocabulary, key=vocabulary.__getitem__)
    ordinary = iter(_in_use(learned, len(SPECIAL_PIECES) + len(characters), kept, size))
    place = {i: piece for piece, i in special.items()}
    pieces = [place[i] if i in place else next(ordinary) for i in range(size)]
    return bert_tokenizer(pieces, max_length=max_length)


def _in_use(
    learned: Sequence[str], fixed: int, words: Sequence[tuple[str, int]], size: int
) -> list[str]:
    """The ordinary pieces of a vocabulary of ``size``: characters, then the learned ones in use.

    Args:
        learned: pieces in the order of training; the first ``fixed`` are special or characters.
    """
    from tokenizers.models import WordPiece

    def used(first: int) -> list[str]:
        """The pieces that words are cut into by the ``first`` learned ones; all the fixed ones."""
        cut = WordPiece({piece: i for i, piece in enumerate(learned[:first])}, unk_token="[UNK]")
        found = {token.id for word, _ in words for token in cut.tokenize(word)}
        return [learned[i] for i in range(first) if i < fixed or i in found]

    low, high = size, len(learned)
    while low < high:  # the fewest learned pieces of which enough are in use
        middle = (low + high) // 2
        low, high = (low, middle) if len(used(middle)) >= size else (middle + 1, high)
    chosen = used(low)[:size]
    rest = set(learned[:low]) - set(chosen)
    spare = [piece for piece in learned if piece in rest][: size - len(chosen)]
    return [*chosen[len(SPECIAL_PIECES) :], *spare]


def _within_alphabet(
    counts: Mapping[str, int], alphabet: int
) -> tuple[list[tuple[str, int]], list[str]]:
    """Words made of the ``alphabet`` most frequent characters, and these characters as pieces."""
    frequency: Counter[str] = Counter()
    for word, count in counts.items():
        for character in word:
            frequency[character] += count
    letters = {c for c, _ in sorted(frequency.items(), key=lambda item: (-item[1], item[0]))
               [:alphabet]}
    kept = sorted(
        (word, count)
        for word, count in counts.items()
        if 0 < len(word) <= LONGEST_WORD and letters.issuperset(word)
    )
    first = {word[0] for word, _ in kept}
    inner = {character for word, _ in kept for character in word[1:]}
    return kept, [*sorted(first), *(CONTINUATION + c for c in sorted(inner))]


def _repeated(words: Iterable[tuple[str, int]], chunk: int = 1000) -> Iterator[str]:
    """Each word as often as it was counted: the trainer takes texts, not weights."""
    for word, count in words:
        for start in range(0, count, chunk):
            yield " ".join([word] * min(chunk, count - start))


def fertility(
    tokenizer: PreTrainedTokenizerBase, words: Iterable[str] | Mapping[str, int]
) -> float:
    """Mean number of pieces per word; a mapping word → count weighs words by their counts.

    Raises:
        ValueError: no words.
    """
    weights = words if isinstance(words, Mapping) else Counter(words)
    total = sum(weights.values())
    if not total:
        raise ValueError("fertility needs at least one word")
    pieces = 0
    distinct = list(weights)
    for start in range(0, len(distinct), 10_000):
        some = distinct[start : start + 10_000]
        rows = tokenizer(some, add_special_tokens=False, truncation=False)["input_ids"]
        pieces += sum(len(row) * weights[word] for word, row in zip(some, rows, strict=True))
    return float(pieces / total)
