"""The four phases of the BIOptimus curriculum as a table (Pavlova & Makhlouf, 2023, README)."""

from __future__ import annotations

from dataclasses import dataclass

from bioptimus_lib.masking import Masking


@dataclass(frozen=True)
class Phase:
    """One phase of pre-training: it starts from the weights of the one before.

    Attributes:
        number: 1 to 4.
        version: of the model that it gives, as the README of BIOptimus numbers them.
        masking: what is hidden, and how.
        about: one line for people.
    """

    number: int
    version: str
    masking: Masking
    about: str


PHASES: tuple[Phase, ...] = (
    Phase(1, "v0.1", Masking("token", 0.15, True), "single pieces, the original BERT task"),
    Phase(2, "v0.2", Masking("word", 0.15, True), "whole words: few pieces betray others"),
    Phase(3, "v0.3", Masking("word", 0.20, True), "more words to guess, less context left"),
    Phase(4, "v0.4", Masking("word", 0.20, False), "no corruption: every guess is a [MASK]"),
)


def phase(number: int) -> Phase:
    """The phase with that number.

    Raises:
        ValueError: there is none.

    >>> str(phase(4).masking)
    'word, 20%, all [MASK]'
    """
    if not 1 <= number <= len(PHASES):
        raise ValueError(f"phase {number} is unknown: choose 1 to {len(PHASES)}")
    return PHASES[number - 1]


def table() -> str:
    """The curriculum as a Markdown table."""
    rows = ["| version | unit | rate | corruption |", "|---|---|---|---|"]
    rows += [
        f"| {p.version} | {p.masking.unit} | {p.masking.rate:.0%} | "
        f"{'80/10/10' if p.masking.corruption else 'none'} |"
        for p in PHASES
    ]
    return "\n".join(rows)
