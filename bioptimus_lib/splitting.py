"""Splitting a text into sentences, with ``sentencex`` and a few words that it does not know."""

from __future__ import annotations

#: Abbreviations that sentencex takes for ends of sentences.
ABBREVIATIONS = (" approx.", " resp.", " sp.", " spp.", " subsp.", " ssp.", " nov.")


def sentences(text: str) -> list[str]:
    """Cut text into sentences; a line end always ends one.

    >>> sentences("Cells of E. coli grew (P = .03). They made IL-2. Candida spp. did not.")
    ['Cells of E. coli grew (P = .03).', 'They made IL-2.', 'Candida spp. did not.']
    """
    from sentencex import segment

    found: list[str] = []
    for line in text.split("\n"):
        joins = False
        if not line.isascii():
            line = " ".join(line.split())  # sentencex panics at some wide blanks
        for part in segment("en", line):
            if not (part := part.strip()):
                continue
            if joins:
                found[-1] += " " + part
            else:
                found.append(part)
            joins = part.endswith(ABBREVIATIONS)
    return found
