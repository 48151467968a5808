"""Two mentions in a sentence, and the ways to tell a model which two are meant.

A sentence with three names has three pairs, and each pair has a relation of its own: without a hint
the answer cannot be known. *Markers* put signs around the two mentions and leave their names to be
read; *blinding* (or dummification) puts placeholders in their stead, so that nothing can be learnt
from the names by heart, and nothing that is known of them can help. *Plain* gives no hint: what it
reaches is what the sentences give away.

References:
    Baldini Soares et al., ACL 2019 (entity markers); Lee et al., Bioinformatics 36, 2020 (blinded
    mentions such as ``@GENE$``, of which the GAD files that we read are made).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

#: Signs around the first and the second mention.
MARKERS = (("<< ", " >>"), ("[[ ", " ]]"))


class Mention(NamedTuple):
    """Characters ``start`` up to, not including, ``stop``, and what stands for them blinded."""

    start: int
    stop: int
    placeholder: str


Pair = tuple[Mention, Mention]


def markers(text: str, pair: Pair) -> str:
    """Signs around the first and the second mention, one of which may hold the other.

    >>> markers("Aspirin relieves gout.", (Mention(0, 7, "@DRUG$"), Mention(17, 21, "@DISEASE$")))
    '<< Aspirin >> relieves [[ gout ]].'
    """
    signs = []
    for number, (mention, (left, right)) in enumerate(zip(pair, MARKERS, strict=True)):
        other = pair[1 - number]
        same = mention[:2] == other[:2]  # then the first is the outer one
        inside = other.start <= mention.start and mention.stop <= other.stop
        inside = inside and not (same and number == 0)
        # At one place what ends comes before what begins; of two that begin the outer is first.
        signs.append((mention.start, 1, inside, left))
        signs.append((mention.stop, 0, not inside, right))
    out = text
    for place, _, _, sign in sorted(signs, reverse=True):
        out = out[:place] + sign + out[place:]
    return out


def blinded(text: str, pair: Pair) -> str:
    """Placeholders in the stead of the two mentions.

    Of a mention inside the other only the placeholder is left, behind that of the other: what
    stands around it belongs to a name.

    >>> blinded("Aspirin relieves gout.", (Mention(0, 7, "@DRUG$"), Mention(17, 21, "@DISEASE$")))
    '@DRUG$ relieves @DISEASE$.'
    """
    first, second = sorted(pair, key=lambda mention: (mention.start, -mention.stop))
    if second.start < first.stop:
        both = f"{first.placeholder} {second.placeholder}"
        return text[: first.start] + both + text[max(first.stop, second.stop) :]
    between = text[first.stop : second.start]
    return (
        text[: first.start] + first.placeholder + between + second.placeholder
        + text[second.stop :]
    )  # fmt: skip


def plain(text: str, pair: Pair) -> str:
    """The sentence as it is."""
    return text


#: How a relation can be shown.
VIEWS: dict[str, Callable[[str, Pair], str]] = {
    "markers": markers,
    "blinded": blinded,
    "plain": plain,
}


def unmarked(text: str, placeholders: tuple[str, str]) -> tuple[str, Pair]:
    """A text without its signs, and the two mentions that stood between them.

    The inverse of ``markers``: a sign may be glued to what is around it, and further closing signs
    belong to the text.

    Raises:
        ValueError: a sign is missing, or one that opens is there twice, or a mention is empty, or
            the two cross.

    >>> unmarked("<< Aspirin >> relieves [[ gout ]].", ("@DRUG$", "@DISEASE$"))[0]
    'Aspirin relieves gout.'
    """
    cuts: list[tuple[int, int]] = []
    for left, right in MARKERS:
        if text.count(left) != 1:
            raise ValueError(f"{left.strip()!r} {text.count(left)} times, expected it once")
        start = text.index(left)
        stop = text.find(right, start + len(left))
        if stop < 0:
            raise ValueError(f"{left.strip()!r} without {right.strip()!r} behind it")
        cuts += [(start, start + len(left)), (stop, stop + len(right))]
    (a, b, c, d) = (cut[0] for cut in cuts)
    if a < c < b < d or c < a < d < b:
        raise ValueError("the two mentions cross")
    out, edges, gone = [], {}, 0
    before = 0
    for start, stop in sorted(cuts):
        out.append(text[before:start])
        edges[start] = start - gone
        gone += stop - start
        before = stop
    out.append(text[before:])
    found = "".join(out)
    first = Mention(edges[a], edges[b], placeholders[0])
    second = Mention(edges[c], edges[d], placeholders[1])
    for mention in (first, second):
        if not found[mention.start : mention.stop].strip():
            raise ValueError("a mention is empty")
    return found, (first, second)
