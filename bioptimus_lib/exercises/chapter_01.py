"""Exercises of chapter 01: clean characters, drop duplicates, measure how a vocabulary grows."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np

from bioptimus_lib.checks import Exercise, Mistake

# -- 01-1: clean ---------------------------------------------------------------------------------

SHY = "\u00ad"


def _text_cases() -> list[tuple[Any, ...]]:
    return [
        ("auto\u00adimmune  disease",),
        ("Me\u0301nie\u0300re's disease, 10⁹ cells/L",),
        (" TNF-α\u00a0rose\tby ½\n",),
        ("long\u00adterm follow-up in Sjögren",),
    ]


def clean(text: str) -> str:
    """The solution of 01-1: soft hyphens out, composed characters, single blanks."""
    return " ".join(unicodedata.normalize("NFC", text.replace(SHY, "")).split())


def _form(name: Literal["NFC", "NFD", "NFKC", "NFKD"]) -> Callable[[str], str]:
    return lambda text: " ".join(unicodedata.normalize(name, text.replace(SHY, "")).split())


CLEAN = Exercise(
    name="clean",
    cases=_text_cases,
    solution=clean,
    mistakes=(
        Mistake(
            _form("NFKC"),
            "10⁹ has become 109, a thousand million lost. NFKC replaces characters by look-alikes "
            "of another meaning; NFC only joins letter and accent.",
        ),
        Mistake(
            _form("NFD"),
            "letters and accents have come apart: NFD decomposes. NFC composes.",
        ),
        Mistake(
            lambda text: " ".join(text.replace(SHY, "").split()),
            "e and its accent are still two characters, so the same word has two spellings: "
            "normalise with NFC.",
        ),
        Mistake(
            lambda text: " ".join(unicodedata.normalize("NFC", text).split()),
            "the soft hyphen is still there. It is invisible in print, and not in a comparison: "
            "take out '\\u00ad'.",
        ),
        Mistake(
            lambda text: " ".join(unicodedata.normalize("NFC", text.replace(SHY, " ")).split()),
            "a soft hyphen stands inside a word; a blank in its place cuts the word in two. "
            "Replace it by nothing.",
        ),
        Mistake(
            lambda text: " ".join(unicodedata.normalize("NFC", text.replace(SHY, "-")).split()),
            "a soft hyphen marks where a line might have been broken; it is not part of the "
            "spelling. Replace it by nothing, not by a hyphen.",
        ),
        Mistake(
            lambda text: " ".join(re.sub(f"[-{SHY}]", "", _form("NFC")(text)).split()),
            "real hyphens are gone too: TNF-α and follow-up need theirs.",
        ),
        Mistake(
            lambda text: unicodedata.normalize("NFC", text.replace(SHY, "")),
            "runs of white space are left, and a blank that may not break a line is not a blank: "
            "`' '.join(text.split())` makes them one.",
        ),
        Mistake(
            lambda text: unicodedata.normalize("NFC", text.replace(SHY, "")).strip(),
            "the ends are clean, but white space inside the text is as it was: "
            "`' '.join(text.split())`.",
        ),
        Mistake(
            lambda text: clean(text).lower(),
            "letters have become small. That is the tokeniser's business; the corpus keeps case.",
        ),
        Mistake(
            lambda text: _form("NFKD")(text).encode("ascii", "ignore").decode(),
            "only ASCII is left: α is gone, and TNF-α has become another word.",
        ),
    ),
    gives="the text without soft hyphens, in NFC, with single blanks",
    praise="Four rules, and each of them has brought words back together.",
)

# -- 01-2: duplicates ----------------------------------------------------------------------------


def _list_cases() -> list[tuple[Any, ...]]:
    return [
        (["Gout is rare.", "Asthma.", " asthma.\n", "Gout is  rare.", "Gout is rare."],),
        (["IN VITRO", "in vitro", "invitro", "In  vitro "],),
        (["Maß und Ziel", "MASS UND ZIEL", "mass"],),
    ]


def _by(key: Callable[[str], Any]) -> Callable[[Sequence[str]], list[str]]:
    def work(texts: Sequence[str]) -> list[str]:
        first: dict[Any, str] = {}
        for text in texts:
            first.setdefault(key(text), text)
        return list(first.values())

    return work


def _same(text: str) -> str:
    return " ".join(text.casefold().split())


def deduplicate(texts: Sequence[str]) -> list[str]:
    """The solution of 01-2: the first text of each kind, in the order given."""
    return _by(_same)(texts)


DEDUPLICATE = Exercise(
    name="deduplicate",
    cases=_list_cases,
    solution=deduplicate,
    mistakes=(
        Mistake(
            _by(lambda text: text),
            "only texts that are equal letter by letter were dropped. Compare them after "
            "`casefold()` and with white space made single.",
        ),
        Mistake(
            _by(str.casefold),
            "case is folded, but two blanks or a line end still make another text: compare "
            "`' '.join(text.casefold().split())`.",
        ),
        Mistake(
            _by(lambda text: " ".join(text.split())),
            "white space is made single, but IN VITRO and in vitro still count as two: "
            "`casefold()` before comparing.",
        ),
        Mistake(
            _by(lambda text: " ".join(text.lower().split())),
            "`lower()` is not made for comparing: Maß and MASS stay different. `casefold()` is.",
        ),
        Mistake(
            _by(lambda text: "".join(text.casefold().split())),
            "all white space is gone, so in vitro and invitro count as equal. Make it single "
            "instead.",
        ),
        Mistake(
            lambda texts: list(dict.fromkeys(map(_same, texts))),
            "the texts come back changed. Compare a changed copy, keep the text as it was.",
        ),
        Mistake(
            lambda texts: list({_same(text): text for text in texts}.values()),
            "the last of equal texts is kept: in a dictionary a later value replaces an earlier "
            "one. Keep the first (`setdefault`, or a set of what has been seen).",
        ),
        Mistake(
            lambda texts: [t for t in texts if sum(_same(t) == _same(o) for o in texts) == 1],
            "all copies are gone, the first one too. One of each must stay.",
        ),
        Mistake(
            lambda texts: sorted(deduplicate(texts)),
            "the right texts in another order. The order of a corpus is part of it: keep it.",
        ),
    ),
    gives="the first text of each kind, unchanged and in the order given",
    praise="A hash of the compared copy is enough to remember: that is how it fits into memory.",
)

# -- 01-3: Heaps ---------------------------------------------------------------------------------


def _growth_cases() -> list[tuple[Any, ...]]:
    return [
        ([100, 1000, 10_000, 100_000], [70, 390, 2400, 11_000]),
        ([50, 200, 900, 4000, 30_000], [45, 120, 400, 1300, 6100]),
    ]


def heaps(words: Sequence[float], types: Sequence[float]) -> float:
    """The solution of 01-3: slope of log types over log words, by least squares."""
    return float(np.polyfit(np.log(words), np.log(types), 1)[0])


def _logs(work: Callable[[np.ndarray, np.ndarray], Any]) -> Callable[..., Any]:
    return lambda words, types: work(np.log(np.asarray(words)), np.log(np.asarray(types)))


HEAPS = Exercise(
    name="heaps",
    cases=_growth_cases,
    solution=heaps,
    mistakes=(
        Mistake(
            lambda words, types: float(np.polyfit(words, types, 1)[0]),
            "this is new words per word read, on plain axes. An exponent is a slope on logarithmic "
            "axes: take the logarithm of both.",
        ),
        Mistake(
            lambda words, types: float(np.polyfit(np.log(words), types, 1)[0]),
            "only the words read are in logarithms. Both axes need them.",
        ),
        Mistake(
            _logs(lambda x, y: float(np.polyfit(y, x, 1)[0])),
            "the axes are the wrong way round: this says how fast the text grows with the "
            "vocabulary. `polyfit` takes x first: the words read.",
        ),
        Mistake(
            _logs(lambda x, y: float(np.polyfit(x, y, 1)[1])),
            "this is log K, the height of the line. `polyfit` gives the highest power first: the "
            "slope is number 0.",
        ),
        Mistake(
            _logs(lambda x, y: np.polyfit(x, y, 1)),
            "these are slope and height of the line. One number is asked for: the slope.",
        ),
        Mistake(
            _logs(lambda x, y: float((x * y).sum() / (x * x).sum())),
            "this line is forced through the origin, as if K were 1. Fit slope and height.",
        ),
        Mistake(
            _logs(lambda x, y: float((y[-1] - y[0]) / (x[-1] - x[0]))),
            "this uses the first and the last point alone. Least squares uses all of them.",
        ),
        Mistake(
            _logs(lambda x, y: float((y / x).mean())),
            "log types over log words is not a slope, since the line has a height. Fit a line: "
            "`np.polyfit(x, y, 1)`.",
        ),
    ),
    gives="the slope of log(types) over log(words), by least squares",
    praise="A line like yours gives the exponents of the next figure.",
)

EXERCISES = {"01-1": CLEAN, "01-2": DEDUPLICATE, "01-3": HEAPS}
