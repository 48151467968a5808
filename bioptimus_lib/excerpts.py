"""The text of a context: the words around a keyword in its line, read from the file again.

A sketch knows where a keyword begins; ``excerpt_loop`` walks from there to both sides.
"""

from __future__ import annotations

import mmap
from typing import NamedTuple

import numpy as np

from bioptimus_lib.files import decode


class Cut(NamedTuple):
    """Places of a file from which texts are wanted.

    Args:
        path: the file.
        hits: int64, where keywords begin.
        limit: words that a text may have.
        valid: whether all bytes of the file are known to be UTF-8.
    """

    path: str
    hits: np.ndarray
    limit: int
    valid: bool = False


class Texts(NamedTuple):
    """Texts, one behind the other, in UTF-8; ``sizes`` int64, the bytes of each."""

    raw: bytes | np.ndarray
    sizes: np.ndarray


def cut(task: Cut) -> Texts:
    """The texts of a task, one for each of its places."""
    with open(task.path, "rb") as file:
        raw = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return around(raw, task.hits, task.limit, valid=task.valid)


def around(
    raw: bytes | mmap.mmap, hits: np.ndarray, limit: int, *, valid: bool = False
) -> Texts:
    """The ``limit`` words around each place, as far as its line has so many.

    A keyword stands in the middle, or nearer to one end of its text where its line ends. Bytes that
    are not UTF-8 become U+FFFD; there is none if the text is known to be ``valid``.
    """
    # Not above: a process that only hands out work need not load the compiled loop.
    from bioptimus_lib.excerpt_loop import bounds, joined

    text = np.frombuffer(raw, dtype=np.uint8)
    begins, ends = bounds(text, hits, limit)
    raw_texts = joined(text, begins, ends)
    found = Texts(raw_texts, ends - begins)
    if not valid:
        try:
            str(raw_texts.data, "utf-8")
        except UnicodeDecodeError:
            pieces = [decode(piece)[0].encode() for piece in as_bytes(found)]
            return Texts(b"".join(pieces), np.array([len(piece) for piece in pieces]))
    return found


def as_bytes(texts: Texts) -> list[bytes]:
    """The texts, one by one."""
    ends = np.cumsum(texts.sizes)
    begins = ends - texts.sizes
    raw = bytes(texts.raw)
    return [raw[a:b] for a, b in zip(begins.tolist(), ends.tolist(), strict=True)]
