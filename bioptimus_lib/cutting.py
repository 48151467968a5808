"""Cutting words into the pieces of a vocabulary, with the characters that each piece covers.

WordPiece is twenty lines of greedy longest match. We need our own to know which characters of the
word a piece covers, and to cut a word as if one piece were not in the vocabulary: that is how a
token with a known embedding is made to look new (``calibration``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bioptimus_lib.wordpiece import CONTINUATION, LONGEST_WORD, require_wordpiece

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


REMEMBERED = 100_000  # words, and runs between spaces: some tens of MB, however long the text


class Piece(NamedTuple):
    """One piece of a word: its id and the characters ``start:end`` of the word it covers."""

    id: int
    start: int
    end: int


class CutText(NamedTuple):
    """The words of a text, and the pieces of each."""

    words: list[str]
    pieces: list[tuple[Piece, ...]]


class Cutter:
    """Cuts text into words, and words into pieces, as a BERT tokenizer does.

    Args:
        tokenizer: a WordPiece tokenizer.

    Attributes:
        unknown: id of ``[UNK]``, which a word that cannot be cut becomes.

    Raises:
        ValueError: the tokenizer is of another kind.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        require_wordpiece(tokenizer)
        backend = tokenizer.backend_tokenizer
        self._normalize = backend.normalizer.normalize_str
        self._split = backend.pre_tokenizer.pre_tokenize_str
        self._ids: dict[str, int] = tokenizer.get_vocab()
        self.unknown: int = tokenizer.unk_token_id
        self._longest = max(map(len, self._ids))
        self._cache: dict[str, tuple[Piece, ...]] = {}
        self._runs: dict[str, CutText] = {}
        self._by_space = (
            type(backend.normalizer).__name__ == "BertNormalizer"
            and type(backend.pre_tokenizer).__name__ == "BertPreTokenizer"
        )

    def words(self, text: str) -> list[str]:
        """The words of a text, normalised: what ``scan`` calls a word."""
        return self.cut_text(text).words

    def cut_text(self, text: str) -> CutText:
        """The words of a text and the pieces of each.

        What BERT does to a character never depends on what stands beyond a space. So a run of
        characters between two spaces is cut once, and looked up from then on.
        """
        if not self._by_space:
            return self._cut_run(text)
        words: list[str] = []
        pieces: list[tuple[Piece, ...]] = []
        for run in text.split(" "):
            found = self._runs.get(run)
            if found is None:
                if len(self._runs) >= REMEMBERED:
                    self._runs.clear()
                found = self._runs[run] = self._cut_run(run)
            words += found.words
            pieces += found.pieces
        return CutText(words, pieces)

    def _cut_run(self, run: str) -> CutText:
        words = [word for word, _ in self._split(self._normalize(run))]
        return CutText(words, [self.cut(word) for word in words])

    def cut(self, word: str, *, off: int | None = None) -> tuple[Piece, ...]:
        """The pieces of a normalised word, as if the piece with id ``off`` did not exist."""
        if off is not None:
            return self._cut(word, off=off)
        found = self._cache.get(word)
        if found is None:
            if len(self._cache) >= REMEMBERED:
                self._cache.clear()
            found = self._cache[word] = self._cut(word)
        return found

    def cut_piece(self, piece: str) -> tuple[Piece, ...]:
        """The pieces of a piece: a continuation (``##ectomy``) is cut as the end of a word."""
        text = piece.removeprefix(CONTINUATION)
        return self._cut(text, inside=text != piece)

    def _cut(
        self, word: str, *, off: int | None = None, inside: bool = False
    ) -> tuple[Piece, ...]:
        whole = (Piece(self.unknown, 0, len(word)),)
        if not 0 < len(word) <= LONGEST_WORD:
            return whole
        pieces: list[Piece] = []
        start = 0
        while start < len(word):
            prefix = CONTINUATION if inside or start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                found = self._ids.get(prefix + word[start:end])
                if found is not None and found != off:
                    break
            else:
                return whole
            pieces.append(Piece(found, start, end))
            start = end
        return tuple(pieces)
