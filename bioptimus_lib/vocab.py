"""WordPiece vocabularies: trained on a corpus, compared with an old one, planned as a change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SPECIAL_PIECES = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


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


def train_wordpiece(
    texts: Iterable[str],
    *,
    size: int,
    alphabet: int = 400,
    max_length: int = 512,
    progress: bool = False,
) -> PreTrainedTokenizerBase:
    """Train a lower-cased WordPiece vocabulary of ``size`` pieces on texts.

    Args:
        texts: any strings; they are normalised and cut into words as BERT does.
        size: pieces in the result, the five special ones included.
        alphabet: how many different characters to keep, the most frequent ones.
        max_length: window of the model that the tokenizer is for, in pieces.
        progress: show the trainer's progress bar.

    Raises:
        ValueError: the text is too small to give that many pieces.
    """
    from tokenizers import BertWordPieceTokenizer

    trainer = BertWordPieceTokenizer(lowercase=True)
    trainer.train_from_iterator(
        texts,
        vocab_size=size,
        limit_alphabet=alphabet,
        special_tokens=list(SPECIAL_PIECES),
        show_progress=progress,
    )
    vocabulary = trainer.get_vocab()
    if len(vocabulary) < size:
        raise ValueError(
            f"the corpus gives {len(vocabulary)} pieces, not the {size} that were asked for: "
            "use more text or a smaller vocabulary"
        )
    return bert_tokenizer(sorted(vocabulary, key=vocabulary.get), max_length=max_length)
