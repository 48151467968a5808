"""Which documents of a corpus stay, decided in one place from rows of 29 bytes a document.

What a document is dropped for does not depend on how many processes read it, only on the order of
the files: PubMed's update files follow its baseline, and what comes later is right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from bioptimus_lib.parts import DROPPED

MEGABYTE = 1_000_000
REPLACED, DELETED, DUPLICATE, OVER = (
    1 + DROPPED.index(why) for why in ("replaced", "deleted", "duplicate", "over the limit")
)


def choose(
    rows: np.ndarray,
    deleted: Sequence[tuple[int, int]] = (),
    *,
    dedupe: bool = True,
    limit: float | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Why each document is dropped, 0 for those that stay.

    Args:
        rows: (documents,) of ``parts.ROW``, in the order of the files.
        deleted: (PMID, number of documents before the order to delete it).
        dedupe: of equal documents, the first stays alone.
        limit: megabytes that may stay: a random sample of the documents, drawn with ``seed``; the
            sample does not depend on how many processes made the rows.

    Returns:
        (documents,) uint8: 0, or 1 + the place in ``DROPPED``.
    """
    reason = rows["reason"].copy()
    _settle_versions(reason, rows["pmid"], deleted)
    if dedupe:
        left = np.flatnonzero(reason == 0)
        order = left[np.lexsort((rows["low"][left], rows["high"][left]))]  # stable: first is first
        high, low = rows["high"][order], rows["low"][order]
        reason[order[1:][(high[1:] == high[:-1]) & (low[1:] == low[:-1])]] = DUPLICATE
    if limit is not None:
        left = np.flatnonzero(reason == 0)
        order = left[np.argsort(_lots(rows[left], seed), kind="stable")]
        reason[order[np.cumsum(rows["size"][order], dtype=np.int64) > int(limit * MEGABYTE)]] = OVER
    return reason


def _settle_versions(
    reason: np.ndarray, pmid: np.ndarray, deleted: Sequence[tuple[int, int]]
) -> None:
    """Mark the records that a later one replaces, and last ones that are deleted after."""
    known = np.flatnonzero(pmid)
    if not known.size:
        return
    order = known[np.argsort(pmid[known], kind="stable")]
    again = np.append(pmid[order[1:]] == pmid[order[:-1]], False)
    reason[order[again]] = REPLACED
    if deleted:
        last = order[~again]  # in the order of their PMIDs, each once
        numbers, before = np.array(deleted, dtype=np.int64).T
        place = np.searchsorted(pmid[last], numbers).clip(max=len(last) - 1)
        hit = (pmid[last[place]] == numbers) & (last[place] < before)
        reason[last[place[hit]]] = DELETED


def _lots(rows: np.ndarray, seed: int, *, block: int = 1 << 16) -> np.ndarray:
    """A random number for each text, the same wherever it stands."""
    salt = seed.to_bytes(16, "little", signed=True)
    lots = np.empty(len(rows), np.uint64)
    for start in range(0, len(rows), block):
        some = rows[start : start + block]
        raw = np.column_stack((some["high"], some["low"])).astype("<u8").tobytes()
        drawn = b"".join(
            hashlib.blake2b(raw[at : at + 16], digest_size=8, salt=salt).digest()
            for at in range(0, len(raw), 16)
        )
        lots[start : start + block] = np.frombuffer(drawn, ">u8")
    return lots
