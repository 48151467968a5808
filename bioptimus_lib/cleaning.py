"""Cleaning the characters of a text: what a reader sees stays, how it was typed does not matter.

A word that is spelt in two ways is two words to a vocabulary, and one with a soft hyphen inside is
none. So characters that look alike become one character, and what nobody sees goes away. The
compatibility form NFKC would do much of it and too much: it makes 10⁹ into 109 and ½ into 1⁄2. We
compose (NFC), and list each further replacement by name.

>>> print(clean("TNF-\\u03b1, 10&lt;sup&gt;9&lt;/sup&gt; \\ufb01bro\\u00adblasts, p &amp;lt; 0.05"))
TNF-α, 10^9 fibroblasts, p < 0.05
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from html.entities import html5

#: Exact replacements of characters that look like others.
REPLACEMENTS = {
    "\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl",
    "\ufb05": "st", "\ufb06": "st",  # ligatures
    "\u00b5": "\u03bc",  # the micro sign is a Greek mu
    "\u2010": "-", "\u2011": "-",  # hyphen, no-break hyphen
    "\u00a0": " ", "\u2007": " ", "\u202f": " ",  # blanks at which no line breaks
}  # fmt: skip
#: Characters that nobody sees: soft hyphen, zero-width ones, marks of direction, byte-order mark.
INVISIBLE = "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"
#: The inline tags of PubMed; older records have them as escaped text.
TAGS = ("b", "i", "sub", "sup", "u")
ROUNDS = 8  # a text may be escaped more than once; what is nested deeper was made by an enemy

_INVISIBLE = re.compile(f"[{INVISIBLE}]")
_REPLACED = re.compile(f"[{''.join(REPLACEMENTS)}]")
#: A reference to a character, escaped any number of times: ``&lt;``, ``&#x3b1;``, ``&amp;amp;gt;``.
_REFERENCE = re.compile(
    r"&(?:(?:amp|#38|#x26);)*(#\d{1,7}|#[xX][\da-fA-F]{1,6}|[A-Za-z][A-Za-z\d]{1,31});", re.ASCII
)
_TAG = re.compile(rf"</?(?:{'|'.join(TAGS)})\s*/?>")
#: A power: digits in ``<sup>`` after a digit, between them perhaps the ends of other tags.
_POWER = re.compile(rf"([0-9](?:{_TAG.pattern})*?)<sup>\s*(?=[+\-\u2212\u2013]?[0-9])")


@dataclass(frozen=True)
class Step:
    """One step of the cleaning.

    Args:
        name: what is done.
        example: a text that the step changes.
        function: text → text.
    """

    name: str
    example: str
    function: Callable[[str], str]

    @property
    def after(self) -> str:
        """What the step makes of its example."""
        return self.function(self.example)


def unescape(text: str) -> str:
    """Characters for references that were escaped twice; names that HTML does not know stay.

    >>> unescape("p &lt; 0.05 &amp;gt; &#x3b1; R&D; AT&T")
    'p < 0.05 > α R&D; AT&T'
    """
    return _REFERENCE.sub(_character, text) if "&" in text else text


def _character(found: re.Match[str]) -> str:
    name = found[1]
    if name[0] != "#" and f"{name};" not in html5:
        return f"&{name};"
    character = html.unescape(f"&{name};")
    return " " if character.isspace() else character  # a line end would make another line


def drop_tags(text: str) -> str:
    """The text without PubMed's inline tags; a power keeps apart from its number.

    >>> drop_tags("10<sup>9</sup> <sup>18</sup>F, m<sup>2</sup>, H<sub>2</sub>O; p <0.05 and n> 3")
    '10^9 18F, m2, H2O; p <0.05 and n> 3'
    """
    if "<" not in text:
        return text
    return _TAG.sub("", _POWER.sub(r"\1^", text) if "<sup>" in text else text)


def drop_invisible(text: str) -> str:
    """The text without characters that nobody sees."""
    return text if text.isascii() else _INVISIBLE.sub("", text)


def replace(text: str) -> str:
    """The text after the exact ``REPLACEMENTS``."""
    return text if text.isascii() else _REPLACED.sub(lambda found: REPLACEMENTS[found[0]], text)


def compose(text: str) -> str:
    """Composed characters (NFC): a letter and its accent are one character."""
    return unicodedata.normalize("NFC", text)


def single_blanks(text: str) -> str:
    """One blank for each run of white space, none at the ends of lines; line ends stay."""
    return "\n".join([" ".join(line.split()) for line in text.split("\n")]).strip()


#: In the order in which they are done.
STEPS = (
    Step("unescape", "IL-1&amp;beta; &lt; 5 &#x3bc;g", unescape),
    Step("drop inline tags", "10<sup>9</sup> cells of <i>E. coli</i> in H<sub>2</sub>O", drop_tags),
    Step("drop invisible characters", "auto\u00adimmune, zero\u200bwidth", drop_invisible),
    Step("replace lookalikes", "\ufb01brosis, 5 \u00b5g, IL\u20112", replace),
    Step("compose (NFC)", "Me\u0301nie\u0300re", compose),
    Step("single blanks", "two  blanks\tand more ", single_blanks),
)


def clean(text: str) -> str:
    """All ``STEPS``, so often that a further time would change nothing.

    References and tags can hide in each other (``&amp;lt;i&amp;gt;``), hence the repetition. Text
    of ASCII alone without ``&`` and ``<`` only has its blanks counted.

    >>> clean("auto\\u00adimmune  e\\u0301toile, 10\\u2079 and \\u00bd stay ")
    'autoimmune étoile, 10⁹ and ½ stay'
    """
    if "&" in text or "<" in text:
        text = _settle(text)
    elif not text.isascii():
        text = compose(replace(drop_invisible(text)))
    return single_blanks(text)


def _settle(text: str) -> str:
    for _ in range(ROUNDS):
        before = text
        for step in STEPS[:-1]:
            text = step.function(text)
        if text == before:
            return text
    # A blank inside keeps what is left of references and tags from ever being one again.
    text = _TAG.sub(lambda found: f"< {found[0][1:]}", text)
    return _REFERENCE.sub(
        lambda found: found[0] if _character(found) == found[0] else f"& {found[0][1:]}", text
    )
