"""How often each word occurs in a corpus: the words of a block as one array, counted by Arrow.

NumPy finds where words begin and end; Arrow takes these places and the bytes as they are and counts
equal words with its hash table, so Python sees each word once per eight megabytes. Words with other
characters than ASCII are counted as bytes, too, and then taken apart by ``words``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING

import numpy as np

from bioptimus_lib.byte_ranges import ByteRange
from bioptimus_lib.files import decode
from bioptimus_lib.scan_plan import Paths, bar, plan_scan
from bioptimus_lib.search import text_blocks
from bioptimus_lib.words import BYTES, CONTROLS, PUNCTUATION, TABLE, words
from bioptimus_lib.workers import WorkerPool

if TYPE_CHECKING:
    import pyarrow

BLANK = 32
NEVER = 255  # a byte that is in no UTF-8 text; it vanishes, as control characters do
#: Bytes as ``words.BYTES`` has them, line ends as blanks.
COUNTED = bytes(
    NEVER if b in CONTROLS else BLANK if b == ord("\n") else byte for b, byte in enumerate(BYTES)
)
TOGETHER = 8 << 20  # bytes whose words are counted together


def _marks(lead: bytes) -> tuple[bytes, int, np.ndarray]:
    """Beginning of UTF-8 characters, their bytes, and for each last byte whether it cuts words."""
    cuts = np.zeros(256, dtype=bool)
    for last in range(0x80, 0xC0):
        character = (lead + bytes([last])).decode()
        cuts[last] = TABLE[ord(character)] in (" ", f" {character} ")
    return lead, len(lead) + 1, cuts


#: Blanks and punctuation outside ASCII that biomedical text is full of: « » · and those from U+2000
#: on. They are blanked out, so that the words beside them are plain ones.
MARKS = (_marks(b"\xc2"), _marks(b"\xe2\x80"))


def count_words(
    paths: Paths,
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    piece_bytes: int | None = None,
    progress: bool = False,
) -> Counter[str]:
    """How often each of BERT's ``words`` occurs in a corpus, punctuation marks included.

    Arguments and errors are those of ``find_contexts``.
    """
    plan = plan_scan(paths, workers=workers, executor=executor, piece_bytes=piece_bytes)
    counts: Counter[str] = Counter()
    with WorkerPool(plan.workers, executor) as pool:
        done = pool.in_order(_count, plan.groups)
        for part in bar(done, len(plan.groups), "count", progress):
            counts.update(part)
    return counts


def _count(group: Sequence[ByteRange]) -> Counter[str]:
    """Count the words of a group of parts."""
    found: Counter[bytes] = Counter()
    marks: Counter[str] = Counter()
    arrays: list[pyarrow.Array] = []
    size = 0
    for piece in group:
        for _, block in text_blocks(piece, Counter()):
            arrays.append(_words(block, marks))
            size += len(block)
            if size > TOGETHER:
                _add(arrays, found)
                arrays, size = [], 0
    _add(arrays, found)
    counts: Counter[str] = marks
    for raw, number in found.items():
        if raw.isascii():
            counts[raw.decode()] += number
        else:
            for word in words(decode(raw)[0]):
                counts[word] += number
    return counts


def _words(block: bytes, marks: Counter[str]) -> pyarrow.Array:
    """The words of a block, each with the byte before it; ``marks`` grows by what is not a word."""
    import pyarrow

    small = b"".join((b" ", block, b" ")).translate(COUNTED)
    codes = np.frombuffer(small, dtype=np.uint8)
    if not small.isascii():
        codes = codes.copy()
        for lead, size, cuts in MARKS:
            at = np.flatnonzero(codes == lead[0])
            for n, byte in enumerate(lead[1:], 1):
                at = at[codes.take(at + n) == byte]
            at = at[cuts[codes.take(at + size - 1)]]
            for last, number in _numbers(codes.take(at + size - 1)):
                for mark in words((lead + bytes([last])).decode()):
                    marks[mark] += number
            for n in range(size):
                codes[at + n] = BLANK
    gaps = np.flatnonzero(codes == BLANK)
    for byte, number in _numbers(np.frombuffer(block, dtype=np.uint8).take(gaps[1:-1] - 1)):
        if byte in PUNCTUATION:
            marks[chr(byte)] += number
    buffers = [None, pyarrow.py_buffer(gaps.astype(np.int32)), pyarrow.py_buffer(codes)]
    return pyarrow.Array.from_buffers(pyarrow.binary(), len(gaps) - 1, buffers)


def _numbers(codes: np.ndarray) -> list[tuple[int, int]]:
    """How often each byte occurs that does."""
    counts = np.bincount(codes, minlength=256)
    return [(byte, int(counts[byte])) for byte in np.flatnonzero(counts).tolist()]


def _add(arrays: list[pyarrow.Array], found: Counter[bytes]) -> None:
    """Count the words of some arrays."""
    import pyarrow
    from pyarrow import compute

    if not arrays:
        return
    table = compute.value_counts(pyarrow.chunked_array(arrays))
    values, counts = table.field("values").to_pylist(), table.field("counts").to_pylist()
    for word, number in zip(values, counts, strict=True):
        if len(word) > 1:
            found[word[1:]] += number
