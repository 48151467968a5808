"""Which words to read in which sentences: for new tokens, and for known ones made to look new.

A token is wanted as characters of words: ``##ectomy`` as the end of *appendectomy*. A new token
occurs in the words that its plan lists. A known token is first switched off in the old vocabulary,
so that its word falls into smaller pieces, as the word of a new token does.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bioptimus_lib.crops import Request, Span
from bioptimus_lib.cutting import Cutter, Piece
from bioptimus_lib.wordpiece import CONTINUATION

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from bioptimus_lib.vocab import VocabularyPlan

SHORTEST_KNOWN = 3  # characters; shorter tokens fall apart into single letters


@dataclass
class Wanted:
    """Tokens, the old pieces that they fall into, and where to read them.

    Attributes:
        ids: the tokens: new ids for new tokens, old ids for known ones; their places are the
            slots of the requests.
        inside: whether a token continues a word.
        pieces: for each token, for each of its words, the old pieces that overlap it.
        requests: sentence → words to read in it.
        as_new: (word, piece that is off) → the tokens of the word as they shall be: old ids, and
            −1 − slot for those that are wanted.
    """

    ids: list[int]
    inside: list[bool]
    pieces: list[list[tuple[int, ...]]]
    requests: dict[str, list[Request]] = field(default_factory=lambda: defaultdict(list))
    as_new: dict[tuple[str, int | None], tuple[int, ...]] = field(default_factory=dict)

    def only(self, slots: Sequence[int]) -> Wanted:
        """Some of the tokens, in the order of ``slots``."""
        place = {slot: i for i, slot in enumerate(slots)}
        part = Wanted(
            ids=[self.ids[i] for i in slots],
            inside=[self.inside[i] for i in slots],
            pieces=[self.pieces[i] for i in slots],
        )
        for sentence, requests in self.requests.items():
            for word, spans, off in requests:
                kept = tuple(s._replace(slot=place[s.slot]) for s in spans if s.slot in place)
                if kept:
                    part.requests[sentence].append(Request(word, kept, off))
        for key, tokens in self.as_new.items():
            if all(-1 - i in place for i in tokens if i < 0):
                part.as_new[key] = tuple(-1 - place[-1 - i] if i < 0 else i for i in tokens)
        return part


def overlapping(pieces: Iterable[Piece], start: int, end: int) -> tuple[int, ...]:
    """Ids of the pieces that cover any of the characters ``start:end``."""
    return tuple(piece.id for piece in pieces if piece.start < end and piece.end > start)


def new_tokens(
    plan: VocabularyPlan, new: Cutter, old: Cutter, contexts: Mapping[str, Sequence[str]]
) -> Wanted:
    """The plan's new tokens, wanted in the contexts of its words.

    A word's contexts serve every new token in it. A word that the old vocabulary cannot read, being
    ``[UNK]`` to it for one odd character, tells nothing of its tokens and is left out. A token
    without any word (also an intermediate step of the training that longer pieces have replaced)
    has the old pieces of its own letters.
    """
    slot = {token: i for i, token in enumerate(plan.new)}
    names = [plan.new_pieces[token] for token in plan.new]
    wanted = Wanted(
        ids=list(plan.new),
        inside=[name.startswith(CONTINUATION) for name in names],
        pieces=[[] for _ in names],
    )
    for word in plan.keywords():
        cut = old.cut(word)
        if any(piece.id == old.unknown for piece in cut):
            continue
        spans = []
        for token, start, end in new.cut(word):
            if token in slot:
                spans.append(Span(slot[token], start, end))
                wanted.pieces[slot[token]].append(overlapping(cut, start, end))
        if spans:
            wanted.as_new[word, None] = tuple(
                -1 - slot[token] if token in slot else plan.shared[token]
                for token, _, _ in new.cut(word)
            )
            for sentence in contexts.get(word, ()):
                wanted.requests[sentence].append(Request(word, tuple(spans)))
    for i, name in enumerate(names):
        if not wanted.pieces[i]:
            wanted.pieces[i].append(tuple(piece.id for piece in old.cut_piece(name)))
    return wanted


def known_tokens(
    tokenizer: PreTrainedTokenizerBase,
    cutter: Cutter,
    contexts: Mapping[str, Sequence[str]],
    *,
    limit: int,
    seed: int = 0,
) -> Wanted:
    """Tokens of the old vocabulary that occur in the contexts, to be read as if they were new.

    Args:
        limit: at most so many whole words are drawn with ``seed``; of continuations, at most half
            as many as of whole words (or of ``limit``, where no whole word is known).
    """
    special = set(tokenizer.all_special_ids)
    words: dict[int, list[str]] = defaultdict(list)  # known token → words that hold it
    spans: dict[tuple[int, str], tuple[int, int]] = {}
    inside: dict[int, bool] = {}
    most = max((len(some) for some in contexts.values()), default=0)
    for word in sorted(contexts):
        if not contexts[word] or not word.isalpha():
            continue
        cut = cutter.cut(word)
        for piece in cut:
            alone = len(cut) == 1
            if piece.id in special or piece.end - piece.start < SHORTEST_KNOWN:
                continue
            if not alone and piece.start == 0:
                continue  # beginnings of words are not what whole words look like
            if (piece.id, word) not in spans:
                spans[piece.id, word] = piece.start, piece.end
                words[piece.id].append(word)
                inside[piece.id] = not alone

    def falls_apart(token: int, word: str) -> bool:
        return not special.intersection(piece.id for piece in cutter.cut(word, off=token))

    usable = {
        token: some
        for token, all_of_them in words.items()
        if (some := [word for word in all_of_them if falls_apart(token, word)])
    }
    ids: list[int] = []
    draw = random.Random(seed)
    for kind in (False, True):
        candidates = sorted(token for token in usable if inside[token] is kind)
        room = (len(ids) or limit) // 2 if kind else limit
        ids += sorted(draw.sample(candidates, min(room, len(candidates))))

    wanted = Wanted(ids=ids, inside=[inside[token] for token in ids], pieces=[[] for _ in ids])
    holders: dict[str, list[int]] = defaultdict(list)  # word → slots of its known tokens
    for i, token in enumerate(ids):
        for word in usable[token]:
            holders[word].append(i)
            wanted.pieces[i].append(
                overlapping(cutter.cut(word, off=token), *spans[token, word])
            )
    read = [0] * len(ids)
    for word, slots in holders.items():
        # A word can lose one piece at a time, so its sentences go round among its pieces.
        for turn, sentence in enumerate(contexts[word]):
            i = slots[turn % len(slots)]
            if read[i] < most:
                read[i] += 1
                wanted.as_new[word, ids[i]] = tuple(
                    -1 - i if piece.id == ids[i] else piece.id for piece in cutter.cut(word)
                )
                span = Span(i, *spans[ids[i], word])
                wanted.requests[sentence].append(Request(word, (span,), ids[i]))
    return wanted
