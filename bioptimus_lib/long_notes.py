"""Notes that are longer than a model's window: what cutting at the end loses, and windows instead.

A discharge summary has thousands of pieces, a model of BERT's kind has room for 512. Tagging reads
long sentences in windows already (``windows``), and pre-training packs text into blocks. A
classifier reads the beginning alone (``sequences.encode`` counts what it cuts); here it reads all
of a text in windows that overlap, and answers by the mean of its outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bioptimus_lib.windows import cut

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerBase

    from bioptimus_lib.sequences import Classifier
    from bioptimus_lib.task_data import Answer


def _read(text: str, tokenizer: PreTrainedTokenizerBase) -> BatchEncoding:
    """The pieces of a text and where they stand; ``[SEP]`` in it is text, as in all that reads."""
    found: BatchEncoding = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True,
                                     split_special_tokens=True, verbose=False)  # fmt: skip
    return found


class Part(NamedTuple):
    """Characters ``start:stop`` of a text that are read together, and their number of pieces."""

    start: int
    stop: int
    pieces: int


def parts(
    text: str, tokenizer: PreTrainedTokenizerBase, *, room: int, overlap: int | None = None
) -> list[Part]:
    """Cut a text into parts that fit, between words.

    Args:
        room: pieces in a part, without the special ones.
        overlap: pieces that a part shares with the one before, at most; a quarter of the room by
            default. A word of more pieces than the room counts as one that fills it.

    Returns:
        Parts that cover all words, in their order; none for a text without a word.

    Raises:
        ValueError: no room, or an overlap that is not less.
    """
    found = _read(text, tokenizer)
    words: list[list[int]] = []  # first character, last one, pieces
    for number, (start, stop) in zip(found.word_ids(), found["offset_mapping"], strict=True):
        assert number is not None  # only pieces that are added have no word
        if words and number == words[-1][3]:
            words[-1][1], words[-1][2] = stop, words[-1][2] + 1
        else:
            words.append([start, stop, 1, number])
    if room < 1:
        raise ValueError(f"room for {room} pieces: give 1 or more")
    sizes = [min(word[2], room) for word in words]
    return [
        Part(words[w.start][0], words[w.stop - 1][1], sum(sizes[w.start : w.stop]))
        for w in cut(sizes, room, overlap=overlap)
    ]


def beyond(
    text: str, spans: Sequence[tuple[int, int]], tokenizer: PreTrainedTokenizerBase, *, room: int
) -> list[float]:
    """The share of the pieces of each span of characters that a reader of the first ``room`` pieces
    does not see: (spans,); 0 for a span without a piece."""
    found = _read(text, tokenizer)
    middles = np.array([(a + b) / 2 for a, b in found["offset_mapping"]])
    lost = np.arange(len(middles)) >= room
    shares = []
    for start, stop in spans:
        inside = (middles >= start) & (middles < stop)
        shares.append(float(lost[inside].mean()) if inside.any() else 0.0)
    return shares


def outputs(
    classifier: Classifier, texts: Sequence[str], *, overlap: int | None = None
) -> np.ndarray:
    """Outputs of a classifier for texts of any length: float (texts, outputs), the mean over the
    parts of each.

    Raises:
        ValueError: a text without a word.
    """
    from bioptimus_lib.task_data import Example

    room = classifier.window - classifier.tokenizer.num_special_tokens_to_add()
    examples: list[Example] = []
    owners: list[int] = []
    for number, text in enumerate(texts):
        some = parts(text, classifier.tokenizer, room=room, overlap=overlap)
        if not some:
            raise ValueError(f"text {number} has no word")
        for part in some:
            examples.append(Example(str(len(examples)), text[part.start : part.stop], ""))
            owners.append(number)
    each = classifier.outputs(classifier.encode(examples))
    total = np.zeros((len(texts), each.shape[1]))
    np.add.at(total, owners, each)
    return total / np.bincount(owners, minlength=len(texts))[:, None]


def answers(
    classifier: Classifier, texts: Sequence[str], *, overlap: int | None = None
) -> list[Answer]:
    """What the mean outputs mean, as ``Classifier.answers`` says it."""
    return classifier.answers(outputs(classifier, texts, overlap=overlap))
