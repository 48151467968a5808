"""Statistics of words: how frequencies fall (Zipf), how a vocabulary grows (Heaps), which words are
typical of a field, and how their use changes over the years.

A word here is one of BERT's ``words`` that begins with a letter: numbers and punctuation marks are
left out, since each dose and each p-value would be a new one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bioptimus_lib.errors import DataError
from bioptimus_lib.files import data_dir
from bioptimus_lib.words import words

POINTS_PER_DECADE = 6
ZIPF_RANKS = (10, 10_000)  # the first ranks are grammar and bend away, the last are words met once
GENERAL = "words/general.tsv"


# -- counting --------------------------------------------------------------------------------------


def lettered(text: str) -> list[str]:
    """The words of a text that begin with a letter.

    >>> lettered("TNF-α fell by 12% (p=.03).")
    ['tnf', 'α', 'fell', 'by', 'p']
    """
    return [word for word in words(text) if word[0].isalpha()]


class Tally(NamedTuple):
    """Word counts of a corpus, and its growth: (words read, different words met) on the way."""

    counts: Counter[str]
    growth: list[tuple[int, int]]

    @property
    def total(self) -> int:
        return self.counts.total()


def tally(texts: Iterable[str], *, first: int = 100) -> Tally:
    """Count words in reading order.

    Args:
        texts: sentences or documents; order matters for the growth, shuffle what comes by topic.
        first: words read at the first point; the later ones are equally far apart on a
            logarithmic scale, each at the end of the text in which it falls. The last point is
            the whole.
    """
    if first < 1:
        raise ValueError(f"a first point after {first} words is impossible: give at least 1")
    counts: Counter[str] = Counter()
    growth: list[tuple[int, int]] = []
    read, mark = 0, float(first)
    for text in texts:
        found = lettered(text)
        counts.update(found)
        read += len(found)
        if read >= mark:
            growth.append((read, len(counts)))
            while mark <= read:
                mark *= 10 ** (1 / POINTS_PER_DECADE)
    if counts and (not growth or growth[-1][0] != read):
        growth.append((read, len(counts)))
    return Tally(counts, growth)


# -- power laws ------------------------------------------------------------------------------------


class PowerLaw(NamedTuple):
    """y = factor · x ** exponent."""

    factor: float
    exponent: float


def power_law(points: Iterable[tuple[float, float]]) -> PowerLaw:
    """The straight line through points on two logarithmic axes, by least squares.

    It describes a curve, and does not prove that it is a power law (Clauset et al., 2009).

    >>> power_law([(1, 3), (10, 30), (100, 300)])
    PowerLaw(factor=3.0, exponent=1.0)

    Raises:
        ValueError: fewer than two different x, or a number that has no logarithm.
    """
    points = list(points)
    if bad := next((p for p in points if min(p) <= 0), None):
        raise ValueError(f"the point {bad} has no logarithm: both numbers must be above 0")
    x, y = [math.log(p[0]) for p in points], [math.log(p[1]) for p in points]
    if len(set(x)) < 2:
        raise ValueError(f"{len(points)} points at {len(set(x))} places give no line: two needed")
    middle, height = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - middle) * (b - height) for a, b in zip(x, y, strict=True)) / sum(
        (a - middle) ** 2 for a in x
    )
    return PowerLaw(round(math.exp(height - slope * middle), 12), round(slope, 12))


def zipf_points(counts: Mapping[str, int]) -> list[tuple[int, float]]:
    """(rank, share of all words) at ranks that are equally far apart on a logarithmic scale.

    >>> zipf_points({"the": 6, "of": 3, "drug": 1})
    [(1, 0.6), (2, 0.3), (3, 0.1)]
    """
    ordered = sorted(counts.values(), reverse=True)
    total = sum(ordered)
    steps = int(POINTS_PER_DECADE * math.log10(len(ordered))) + 1 if ordered else 0
    ranks = {round(10 ** (step / POINTS_PER_DECADE)) for step in range(steps)} | {len(ordered)}
    return [(rank, ordered[rank - 1] / total) for rank in sorted(ranks - {0})]


def zipf_exponent(points: Sequence[tuple[int, float]]) -> float:
    """How fast frequency falls with rank, between ``ZIPF_RANKS``; Zipf's law says 1."""
    low, high = ZIPF_RANKS
    return -power_law(p for p in points if low <= p[0] <= high).exponent


def heaps_exponent(growth: Sequence[tuple[int, int]], *, start: int = 10_000) -> float:
    """How fast the vocabulary grows with the text, after ``start`` words: 1 is as fast."""
    return power_law(p for p in growth if p[0] >= start).exponent


# -- typical words ---------------------------------------------------------------------------------


class Background(NamedTuple):
    """Word counts to compare with: ``unseen`` is the count given to a word that is not listed."""

    counts: Mapping[str, int]
    total: int
    unseen: float = 0


def general_words() -> Background:
    """The frequent words of general English that ship with the course (counts, no text).

    A word that is not on the list counts as often as the mean of those that are not on it.
    """
    path = data_dir() / GENERAL
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    try:
        (_, total), (_, different), *listed = rows
        counts = {word: int(count) for word, count in listed}
        rest = int(different) - len(counts)
        unseen = (int(total) - sum(counts.values())) / rest if rest else 0.0
        return Background(counts, int(total), unseen)
    except ValueError:
        says = "expected lines of word, tab, count, the totals of all and different words first"
        raise DataError(says, path=path) from None


class Typical(NamedTuple):
    """A word with its log-odds ratio against other text, and that in standard errors."""

    word: str
    log_odds: float
    z: float
    times: int


def log_odds(count: float, total: float, other: float, other_total: float) -> float:
    """The logarithm of how many times as high the odds of a word are here as elsewhere.

    One half is added to each cell, so a word that one side lacks gets a number too.

    >>> round(log_odds(30, 1000, 30, 1000), 3), log_odds(30, 1000, 0, 1000) > 3
    (0.0, True)
    """
    if not (0 <= count <= total and 0 <= other <= other_total):
        raise ValueError(f"{count} of {total} and {other} of {other_total} are no counts of a word")
    here = math.log((count + 0.5) / (total - count + 0.5))
    return here - math.log((other + 0.5) / (other_total - other + 0.5))


def typical(
    counts: Mapping[str, int], background: Background, *, least: int = 50
) -> list[Typical]:
    """The words of a corpus from the most to the least typical of it, by their log-odds ratio.

    Args:
        least: occurrences that a word must have: the ratio of a rare word is mostly chance. ``z``,
            the ratio in standard errors (Monroe et al., 2008), says how sure it is.
    """
    total = sum(counts.values())
    rows = []
    for word, count in counts.items():
        if count < least:
            continue
        other = background.counts.get(word, background.unseen)
        value = log_odds(count, total, other, background.total)
        z = value / math.sqrt(1 / (count + 0.5) + 1 / (other + 0.5))
        rows.append(Typical(word, value, z, count))
    return sorted(rows, key=lambda row: (-row.log_odds, row.word))


# -- years -----------------------------------------------------------------------------------------


def shares_by_year(
    dated: Iterable[tuple[int, str]],
    chosen: Iterable[str] | Mapping[str, Iterable[str]],
    *,
    bin_years: int = 1,
) -> dict[int, dict[str, int]]:
    """In how many texts of each year each word occurs; ``""`` counts the texts.

    A text counts once however often it has the word, so that one text cannot make a fashion.

    Args:
        dated: (year, text).
        chosen: words; or a name for each group of words, any of which counts.
        bin_years: years that are put together, under the first of them.

    >>> shares_by_year([(1981, "HIV was found."), (1984, "No virus.")], ["hiv"], bin_years=5)
    {1980: {'': 2, 'hiv': 1}}
    """
    if bin_years < 1:
        raise ValueError(f"bins of {bin_years} years are impossible: give at least 1")
    named = chosen if isinstance(chosen, Mapping) else {word: [word] for word in chosen}
    groups = {name: frozenset(group) for name, group in named.items()}
    found: dict[int, Counter[str]] = {}
    for year, text in dated:
        row = found.setdefault(year - year % bin_years, Counter(dict.fromkeys(["", *groups], 0)))
        there = set(lettered(text))
        row[""] += 1
        row.update(name for name, group in groups.items() if not group.isdisjoint(there))
    return {year: dict(found[year]) for year in sorted(found)}


def trend(years: Mapping[int, Mapping[str, int]], word: str) -> float:
    """Cochran's and Armitage's test: the trend of a share over the years, in standard errors.

    Without a trend it is about normal, so beyond 2 in one of twenty words; it sees what no band of
    a single year can show.

    Args:
        years: as ``shares_by_year`` gives them.

    Raises:
        ValueError: fewer than two years, or no text or all texts have the word.

    >>> round(trend({2000: {"": 50, "gene": 10}, 2010: {"": 50, "gene": 20}}, "gene"), 2)
    2.18
    """
    texts = sum(row[""] for row in years.values())
    found = sum(row[word] for row in years.values())
    if len(years) < 2 or not 0 < found < texts:
        raise ValueError(
            f"{found} of {texts} texts of {len(years)} years have {word!r}: a trend needs texts "
            "with and without the word, and two years"
        )
    share, middle = found / texts, sum(year * row[""] for year, row in years.items()) / texts
    moved = sum((year - middle) * row[word] for year, row in years.items())
    spread = sum((year - middle) ** 2 * row[""] for year, row in years.items())
    return moved / math.sqrt(share * (1 - share) * spread)


def dated_articles(table: Path) -> Iterable[tuple[int, str]]:
    """(year, text) of the articles that a table beside a corpus places in its shards.

    Args:
        table: tab-separated with a header: ``shard`` (a file beside it), ``offset`` and ``bytes``
            in the unpacked shard, ``year``. Rows without a year are passed over.

    Raises:
        DataError: a column is missing.
    """
    import csv

    from bioptimus_lib.files import open_bytes

    with open(table, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    if missing := {"shard", "offset", "bytes", "year"} - set(rows[0] if rows else ()):
        raise DataError(f"the table has no column {sorted(missing)[0]!r}", path=table)
    rows.sort(key=lambda row: (row["shard"], int(row["offset"])))
    shards: dict[str, bytes] = {}
    for row in rows:
        if row["shard"] not in shards:
            with open_bytes(table.parent / row["shard"]) as shard:
                shards = {row["shard"]: shard.read()}
        if row["year"].strip():
            start = int(row["offset"])
            raw = shards[row["shard"]][start : start + int(row["bytes"])]
            yield int(row["year"]), raw.decode("utf-8", "replace")
