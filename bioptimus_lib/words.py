"""What a word is: exactly what BERT's normaliser and pre-tokeniser make of a text.

Control characters vanish, accents are stripped, letters become small, white space and punctuation
(every ASCII symbol counts as such) cut, each Chinese character stands alone. Whatever is counted or
found with these words is what a WordPiece tokeniser will see. All steps work character by
character, so one table does them all; a second table of bytes does the same for ASCII, faster.
"""

from __future__ import annotations

import re
import string
import unicodedata
from functools import cache

from bioptimus_lib.files import data_dir

PUNCTUATION = string.punctuation.encode()
#: Rust's ``char::is_whitespace`` without the control characters that vanish before.
WHITE_SPACE = frozenset(
    {0x09, 0x0A, 0x0D, 0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F,
     0x3000}
)
#: What ``str.split`` takes for white space, and BERT for control characters.
_NO_BLANK = re.compile("[\x0b\x0c\x1c-\x1f\x85]")
_PART = re.compile(f"[^{''.join(map(chr, sorted(WHITE_SPACE)))}]+")
#: The blocks that BERT calls Chinese characters (``tokenizers`` leaves 2B820 to 2B91F out).
_CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class _Table(dict[int, str]):
    """Code point → what it becomes, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        self[code] = value = _become(code)
        return value


def _become(code: int) -> str:
    character = chr(code)
    if code in WHITE_SPACE:
        return " "
    if code == 0xFFFD or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co"):
        return ""
    bare = [c for c in unicodedata.normalize("NFD", character) if unicodedata.category(c) != "Mn"]
    small = "".join(bare).lower() if len(bare) < 2 else "".join(c.lower() for c in bare)
    if any(first <= code <= last for first, last in _CHINESE):
        return f" {small} "
    return "".join(f" {c} " if _cuts(c) else c for c in small)


def _cuts(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


TABLE = _Table()
#: The same for ASCII bytes: letters become small, punctuation and white space a blank. Line ends
#: stay, and bytes of other characters, which tell that a line needs ``words``.
BYTES = bytes(
    ord(chr(b).lower()) if chr(b) in string.ascii_uppercase else 32 if b in PUNCTUATION + b"\t\r"
    else b for b in range(256)
)  # fmt: skip
CONTROLS = bytes(b for b in range(128) if (b < 32 and b not in b"\t\n\r") or b == 127)


def words(text: str) -> list[str]:
    """The words of a text, punctuation marks included.

    >>> words("TNF-α (Ménière's) ≥2 IL-2.")
    ['tnf', '-', 'α', '(', 'meniere', "'", 's', ')', '≥2', 'il', '-', '2', '.']
    """
    return text.translate(TABLE).split()


def split(text: str) -> list[str]:
    """The parts of a text between white space, where BERT sees white space.

    ``str.split`` also cuts at control characters, which BERT takes out: ``a\\x0bb`` is one word.
    """
    return _PART.findall(text) if _NO_BLANK.search(text) else text.split()


@cache
def function_words() -> frozenset[str]:
    """The words of ``data/words/function.txt``: what holds a sentence together, names nothing."""
    lines = (data_dir() / "words" / "function.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(w for line in lines if not line.startswith("#") for w in line.split())
