"""Sentences as a model reads them: pieces with the label on the first, in windows that overlap.

A model has room for so many pieces. A longer sentence is shown in several windows, each token is
labelled and predicted in exactly one of them, the one where it stands most central, and the
answers are put together again: no token is lost, none is counted twice, and no gold entity drops
out of the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from bioptimus_lib.arrays import Ints
from bioptimus_lib.conll import Sentence

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # the label of positions that are not the first piece of a token


class Window(NamedTuple):
    """Tokens ``start:stop`` are shown, tokens ``first:last`` are labelled and predicted here."""

    start: int
    stop: int
    first: int
    last: int


def cut(sizes: Ints, room: int, *, overlap: int | None = None) -> list[Window]:
    """Cut a sentence into windows of at most ``room`` pieces.

    Args:
        sizes: pieces of each token, each 1 to ``room``.
        room: pieces in a window, without the special ones.
        overlap: pieces that a window shares with the one before, at most; by default a quarter of
            the room. It gives way where tokens are so long that a window would not move on.

    Returns:
        Windows whose parts ``first:last`` follow one another and cover all tokens.

    >>> cut([1, 1, 1, 1, 1], 3, overlap=1)
    [Window(start=0, stop=3, first=0, last=3), Window(start=2, stop=5, first=3, last=5)]
    """
    if room < 1 or not all(1 <= size <= room for size in sizes):
        raise ValueError(f"each token must have 1 to {room} pieces, found {list(sizes)}")
    overlap = room // 4 if overlap is None else overlap
    if not 0 <= overlap < room:
        raise ValueError(f"overlap is {overlap}, it must be from 0 to {room - 1} pieces")
    edges = np.concatenate([[0], np.cumsum(sizes)])  # pieces before each token, and in all
    total = len(sizes)
    shown: list[tuple[int, int]] = []
    start = 0
    while total:
        stop = int(np.searchsorted(edges, edges[start] + room, side="right")) - 1
        shown.append((start, stop))
        if stop == total:
            break
        # Back by the overlap, but beyond the last start, and so that token `stop` fits.
        back = int(np.searchsorted(edges, edges[stop] - overlap))
        fits = int(np.searchsorted(edges, edges[stop + 1] - room))
        start = max(back, fits, start + 1)

    def central(token: int, window: tuple[int, int]) -> float:
        """Pieces between the token and the nearer cut; the ends of the sentence are no cuts."""
        begin, end = window
        left = edges[token] - edges[begin] if begin else np.inf
        right = edges[end] - edges[token + 1] if end < total else np.inf
        return min(left, right)

    firsts = [0]
    for before, after in zip(shown, shown[1:], strict=False):
        # Along the shared tokens one centrality falls and the other rises: one change-over.
        token = max(after[0], firsts[-1])
        while token < before[1] and central(token, before) >= central(token, after):
            token += 1
        firsts.append(token)
    lasts = [*firsts[1:], total]
    return [
        Window(*window, first, last)
        for window, first, last in zip(shown, firsts, lasts, strict=False)
    ]


@dataclass(frozen=True)
class Piece:
    """One window, encoded.

    sentence: index of its sentence.
    window: tokens shown and tokens labelled.
    ids: (T,) int64, with the special pieces at both ends.
    heads: (last − first,) positions in ``ids`` of the first pieces of the labelled tokens.
    """

    sentence: int
    window: Window
    ids: np.ndarray
    heads: np.ndarray


@dataclass(frozen=True)
class Encoding:
    """Sentences as windows of pieces, and what happened on the way.

    report: ``sentences``, ``tokens``, ``pieces``, ``windows``; ``unknown``: tokens that hold an
        unknown piece; ``empty``: tokens that the tokenizer drops, shown as unknown; ``shortened``:
        tokens of more pieces than the window has room for, shown by their first pieces.
    """

    windows: list[Piece]
    tokens: list[int]
    report: dict[str, int]

    def labels(self, tags: Sequence[Sequence[str]], index: dict[str, int]) -> list[np.ndarray]:
        """For each window the labels (T,) of its positions: a label on first pieces, else −100.

        Raises:
            ValueError: a tag that has no label, or another number of tags than of tokens.
        """
        for number, (own, tokens) in enumerate(zip(tags, self.tokens, strict=True)):
            if unknown := set(own) - index.keys():
                raise ValueError(
                    f"sentence {number}: tag {min(unknown)!r} has no label, known are {list(index)}"
                )
            if len(own) != tokens:
                raise ValueError(f"sentence {number}: {len(own)} tags for {tokens} tokens")
        rows = []
        for piece in self.windows:
            row = np.full(len(piece.ids), IGNORED)
            own = tags[piece.sentence][piece.window.first : piece.window.last]
            row[piece.heads] = [index[tag] for tag in own]
            rows.append(row)
        return rows

    def merge(self, outputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Outputs (T, L) of each window to outputs (tokens, L) of each sentence."""
        width = outputs[0].shape[1] if outputs else 0
        merged = [np.full((tokens, width), np.nan, np.float32) for tokens in self.tokens]
        for piece, output in zip(self.windows, outputs, strict=True):
            merged[piece.sentence][piece.window.first : piece.window.last] = output[piece.heads]
        return merged


def encode(
    sentences: Sequence[Sentence],
    tokenizer: PreTrainedTokenizerBase,
    *,
    window: int,
    overlap: int | None = None,
) -> Encoding:
    """Encode sentences in windows of at most ``window`` pieces, special pieces included.

    Every token gets at least one piece: one that the tokenizer drops (control characters, a lone
    combining mark) is shown as the unknown piece, so labels never shift.
    """
    special, room = special_of(tokenizer), room_of(window)
    words = sorted({token for sentence in sentences for token in sentence.tokens})
    found = pieces_of(words, tokenizer)
    unknown = tokenizer.unk_token_id
    report = dict.fromkeys(
        ("sentences", "tokens", "pieces", "windows", "unknown", "empty", "shortened"), 0
    )
    encoded: list[Piece] = []
    for number, sentence in enumerate(sentences):
        rows = []
        for token in sentence.tokens:
            ids = found[token]
            report["empty"] += not ids
            report["unknown"] += unknown in ids
            report["shortened"] += len(ids) > room
            rows.append(ids[:room] or [unknown])
        joined = np.array([i for row in rows for i in row], np.int64)
        sizes = [len(row) for row in rows]
        shown = in_windows(number, joined, sizes, special, room=room, overlap=overlap)
        encoded += shown
        report["pieces"] += sum(len(piece.ids) for piece in shown)
        report["tokens"] += len(sentence)
    report["sentences"], report["windows"] = len(sentences), len(encoded)
    return Encoding(encoded, [len(sentence) for sentence in sentences], report)


def special_of(tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
    """The pieces at both ends of a window; ValueError if the tokenizer lacks what we need."""
    special = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    if None in special or tokenizer.unk_token_id is None:
        raise ValueError("the tokenizer lacks [CLS], [SEP] or [UNK]: is it a BERT tokenizer?")
    return special


def room_of(window: int) -> int:
    """Pieces that a window of so many has room for, beside the special ones."""
    if window < 3:
        raise ValueError(f"a window of {window} pieces has no room beside [CLS] and [SEP]")
    return window - 2


def in_windows(
    number: int,
    ids: np.ndarray,
    sizes: Ints,
    special: tuple[int, int],
    *,
    room: int,
    overlap: int | None = None,
) -> list[Piece]:
    """A sentence in its windows.

    Args:
        number: of the sentence.
        ids: pieces of its tokens, one after another.
        sizes: pieces of each token, 1 to ``room``.
        special: pieces at both ends of a window.
        room: pieces in a window, without these.
        overlap: as for ``cut``.
    """
    edges = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    if 0 < len(ids) <= room:  # nearly always
        shown = np.concatenate([special[:1], ids, special[1:]])
        return [Piece(number, Window(0, len(sizes), 0, len(sizes)), shown, 1 + edges[:-1])]
    found = []
    for part in cut(sizes, room, overlap=overlap):
        inside = ids[edges[part.start] : edges[part.stop]]
        heads = 1 + edges[part.first : part.last] - edges[part.start]
        shown = np.concatenate([special[:1], inside, special[1:]])
        found.append(Piece(number, part, shown, heads))
    return found


def pieces_of(words: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> dict[str, list[int]]:
    """Pieces of each word, none for one that the tokenizer drops.

    To be asked once for all different words: a corpus has far fewer of them than tokens.
    """
    if not words:
        return {}
    rows = tokenizer(
        [[word] for word in words],
        is_split_into_words=True,
        add_special_tokens=False,
        truncation=False,
        split_special_tokens=True,  # "[SEP]" in a text is a text
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )["input_ids"]
    return dict(zip(words, rows, strict=True))
