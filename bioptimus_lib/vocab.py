"""The change from one vocabulary to another: what stays, what is new, where the new occurs.

BIOptimus *replaces* BERT's vocabulary by a biomedical one of the same size. Everything that the
later steps must know of that change is a ``VocabularyPlan``: which new ids keep an old row, which
are new, and in which words each new piece occurs, so that finding contexts for pieces
(``##ectomy``) is the same job as finding contexts for words.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bioptimus_lib.errors import DataError
from bioptimus_lib.files import atomic_write
from bioptimus_lib.wordpiece import (
    CONTINUATION,
    SPECIAL_PIECES,
    bert_tokenizer,
    count_in_texts,
    fertility,
    is_lowercase,
    pieces_of,
    require_wordpiece,
    train_wordpiece,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = [
    "SPECIAL_PIECES",
    "VocabularyPlan",
    "bert_tokenizer",
    "calibration_words",
    "count_in_texts",
    "fertility",
    "is_lowercase",
    "pieces_of",
    "plan_vocabulary",
    "train_wordpiece",
]

WORDS_PER_PIECE = 5
PLAN_FORMAT = 1


@dataclass(frozen=True)
class VocabularyPlan:
    """How one vocabulary is to be replaced by another.

    Attributes:
        old_pieces: pieces of the old vocabulary, in the order of their ids.
        new_pieces: pieces of the new one.
        words: new piece → its most frequent (word, count) in which the new tokenizer produces it.
        frequency: how often each new piece occurs in the counted text, one number per new id.
        lowercase: whether both tokenizers fold case.
        max_length: window of the model, in pieces.
    """

    old_pieces: tuple[str, ...]
    new_pieces: tuple[str, ...]
    words: Mapping[str, tuple[tuple[str, int], ...]]
    frequency: tuple[int, ...]
    lowercase: bool = True
    max_length: int = 512

    def __post_init__(self) -> None:
        if len(self.frequency) != len(self.new_pieces):
            raise ValueError(
                f"{len(self.frequency)} frequencies for {len(self.new_pieces)} new pieces"
            )
        old, new = (
            {piece: i for i, piece in enumerate(pieces) if piece in SPECIAL_PIECES}
            for pieces in (self.old_pieces, self.new_pieces)
        )
        for piece in SPECIAL_PIECES:
            if piece not in old or piece not in new:
                which = "old" if piece not in old else "new"
                raise ValueError(f"the {which} vocabulary lacks the special piece {piece}")
            if old[piece] != new[piece]:
                raise ValueError(
                    f"{piece} has id {old[piece]} in the old vocabulary and {new[piece]} in the "
                    "new one: train the new one with like=the old tokenizer"
                )

    @cached_property
    def shared(self) -> dict[int, int]:
        """New id → old id of the pieces that both vocabularies have; their rows are kept."""
        old = {piece: i for i, piece in enumerate(self.old_pieces)}
        return {i: old[piece] for i, piece in enumerate(self.new_pieces) if piece in old}

    @cached_property
    def new(self) -> tuple[int, ...]:
        """New ids without an old row, ascending."""
        return tuple(i for i in range(len(self.new_pieces)) if i not in self.shared)

    @cached_property
    def dropped(self) -> tuple[int, ...]:
        """Old ids whose piece the new vocabulary does not have; their rows are given up."""
        kept = set(self.shared.values())
        return tuple(i for i in range(len(self.old_pieces)) if i not in kept)

    @property
    def checksum(self) -> str:
        """A fingerprint of the old vocabulary: what tells a plan for another model."""
        return vocabulary_checksum(self.old_pieces, lowercase=self.lowercase)

    def keywords(self) -> list[str]:
        """The words to find contexts for, sorted: each gives contexts to all pieces in it."""
        return sorted({word for words in self.words.values() for word, _ in words})

    def check(self, old_tokenizer: PreTrainedTokenizerBase) -> None:
        """Refuse a tokenizer that the plan was not made for.

        Raises:
            ValueError: its pieces, their order or its casing differ.
        """
        if is_lowercase(old_tokenizer) != self.lowercase:
            raise ValueError("the plan is for another model: its tokenizer differs in casing")
        found = vocabulary_checksum(pieces_of(old_tokenizer), lowercase=self.lowercase)
        if found != self.checksum:
            raise ValueError(
                f"the plan is for another model: its old vocabulary has {len(self.old_pieces)} "
                f"pieces and checksum {self.checksum[:12]}, the tokenizer has "
                f"{len(old_tokenizer)} and {found[:12]}"
            )

    def new_tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the new vocabulary."""
        return bert_tokenizer(
            self.new_pieces, lowercase=self.lowercase, max_length=self.max_length
        )

    def summary(self) -> str:
        """The plan in a few lines for people."""
        size, new = len(self.new_pieces), [self.new_pieces[i] for i in self.new]
        continuing = [piece for piece in new if piece.startswith(CONTINUATION)]
        starting = [piece for piece in new if not piece.startswith(CONTINUATION)]

        def share(count: int) -> str:
            return f"{count:,} ({count / size:.0%})"

        def examples(pieces: Sequence[str]) -> str:
            frequency = {self.new_pieces[i]: self.frequency[i] for i in self.new}
            best = sorted((p for p in pieces if len(p) > 4), key=lambda p: (-frequency[p], p))
            return " ".join(best[:6]) or "–"

        return "\n".join([
            f"old vocabulary  {len(self.old_pieces):,} pieces",
            f"new vocabulary  {size:,} pieces",
            f"  kept rows     {share(len(self.shared))}",
            f"  new, starting {share(len(starting))}: {examples(starting)}",
            f"  new, inside   {share(len(continuing))}: {examples(continuing)}",
            f"words to scan   {len(self.keywords()):,}",
            f"without a word  {sum(not self.words.get(piece) for piece in new):,}",
        ])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan as one JSON file."""
        content: dict[str, Any] = {
            "format": PLAN_FORMAT,
            "checksum": self.checksum,
            "lowercase": self.lowercase,
            "max_length": self.max_length,
            "old_pieces": self.old_pieces,
            "new_pieces": self.new_pieces,
            "frequency": self.frequency,
            "words": dict(self.words),
        }
        with atomic_write(path) as file:
            json.dump(content, file, ensure_ascii=False)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> VocabularyPlan:
        """Read a plan that ``save`` wrote.

        Raises:
            DataError: the file is no plan, or its checksum does not fit its old vocabulary.
        """
        with open(path, encoding="utf-8") as file:
            try:
                content = json.load(file)
                if content["format"] != PLAN_FORMAT:
                    raise ValueError(f"format {content['format']}, not {PLAN_FORMAT}")
                plan = cls(
                    old_pieces=tuple(content["old_pieces"]),
                    new_pieces=tuple(content["new_pieces"]),
                    words={
                        piece: tuple((word, int(count)) for word, count in words)
                        for piece, words in content["words"].items()
                    },
                    frequency=tuple(content["frequency"]),
                    lowercase=content["lowercase"],
                    max_length=content["max_length"],
                )
                if plan.checksum != content["checksum"]:
                    raise ValueError("its checksum does not fit its old vocabulary")
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataError(f"this is no vocabulary plan: {error!r}", path=path) from error
        return plan


def vocabulary_checksum(pieces: Iterable[str], *, lowercase: bool) -> str:
    """sha256 over the pieces in order and the casing, as hexadecimal digits."""
    text = "\n".join(["lower" if lowercase else "cased", *pieces])
    return hashlib.sha256(text.encode()).hexdigest()


def plan_vocabulary(
    old_tokenizer: PreTrainedTokenizerBase,
    new_tokenizer: PreTrainedTokenizerBase,
    counts: Mapping[str, int],
    *,
    words_per_piece: int = WORDS_PER_PIECE,
) -> VocabularyPlan:
    """Compare two vocabularies and find for each new piece the words that it occurs in.

    Args:
        counts: word → count in the corpus, words as BERT cuts them (``scan.count_words``).
        words_per_piece: how many words to keep per new piece, the most frequent ones.

    Raises:
        ValueError: one is no WordPiece tokenizer; the casing differs; a special piece is missing
            or has moved.
    """
    for tokenizer in (old_tokenizer, new_tokenizer):
        require_wordpiece(tokenizer)
    if is_lowercase(old_tokenizer) != is_lowercase(new_tokenizer):
        cased = "new" if is_lowercase(old_tokenizer) else "old"
        raise ValueError(
            f"the {cased} tokenizer is cased and the other one folds case: no row would fit its "
            "word; train the new one with like=the old tokenizer"
        )
    if words_per_piece < 1:
        raise ValueError(f"words_per_piece is {words_per_piece}: at least 1 is needed")
    old_pieces, new_pieces = pieces_of(old_tokenizer), pieces_of(new_tokenizer)
    fresh = set(new_pieces) - set(old_pieces)
    words: dict[str, list[tuple[str, int]]] = {
        piece: [] for piece in new_pieces if piece in fresh
    }
    frequency = [0] * len(new_pieces)
    # The words are cut already, so the bare WordPiece model is enough: one look-up per word.
    cut = new_tokenizer.backend_tokenizer.model.tokenize
    for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        tokens = cut(word)
        for token in tokens:
            frequency[token.id] += count
        for piece in dict.fromkeys(token.value for token in tokens):
            if piece in fresh and len(words[piece]) < words_per_piece:
                words[piece].append((word, count))
    return VocabularyPlan(
        old_pieces=old_pieces,
        new_pieces=new_pieces,
        words={piece: tuple(found) for piece, found in words.items()},
        frequency=tuple(frequency),
        lowercase=is_lowercase(old_tokenizer),
        max_length=new_tokenizer.model_max_length,
    )


def calibration_words(
    old_tokenizer: PreTrainedTokenizerBase, counts: Mapping[str, int], *, n: int = 3000
) -> list[str]:
    """Words that the old vocabulary has whole, to be scanned for together with the new ones.

    They are what ``distill`` calibrates on: their true embeddings are known. Taken evenly over
    the order of frequency, so most are about as rare as the new words are.

    Returns:
        At most ``n`` sorted words of at least four letters that occur at least five times.
    """
    known = set(pieces_of(old_tokenizer))
    fit = sorted(
        (word for word, count in counts.items()
         if count >= 5 and len(word) >= 4 and word in known and word.isalpha()),
        key=lambda word: (-counts[word], word),
    )
    step = max(1.0, len(fit) / max(n, 1))
    return sorted(fit[int(i * step)] for i in range(min(n, len(fit))))
