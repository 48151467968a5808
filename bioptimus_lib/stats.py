"""How sure a difference in F1 is: spread over seeds, bootstrap intervals, paired tests.

Everything works on counts: one row ``(found, spurious, missed)`` per test sentence, and a leading
axis where a model was trained with several seeds. F1 of any resample is then a sum and a division,
so thousands of resamples take a fraction of a second. Other scores that follow from sums of rows
are a row of ``measures`` each, and go through the same functions.

Which question an answer belongs to: a bootstrap over sentences says what another test set of the
same kind could give; the spread over seeds what another training run could; a paired test whether
two models' answers on these sentences could be swapped without anyone noticing.

References:
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 6 and 13 (percentile
    interval); Yeh, COLING 2000 (approximate randomisation for precision, recall and F1);
    Dror et al., ACL 2018 (which test for which measure in NLP).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bioptimus_lib.conll import entities
from bioptimus_lib.measures import F1, Measure, f1

if TYPE_CHECKING:
    from bioptimus_lib.arrays import Floats

__all__ = [
    "F1", "Interval", "Measure", "Paired", "Summary", "bootstrap", "bootstrap_difference",
    "detectable", "entity_counts", "f1", "group_means", "paired_test", "power_factor", "summary",
]  # fmt: skip

CHUNK = 4_000_000  # numbers held at once while resampling


@dataclass(frozen=True)
class Summary:
    """Mean of n values, their standard deviation, and an interval for the mean.

    ``sd``, ``low`` and ``high`` are NaN for one value: it has no spread to tell.
    """

    mean: float
    sd: float
    n: int
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.2f}" if self.n < 2 else f"{self.mean:.2f} ± {self.sd:.2f}"


@dataclass(frozen=True)
class Interval:
    """An estimate with an interval; ``confidence`` is the interval's, 0.95 as a rule."""

    value: float
    low: float
    high: float
    confidence: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True)
class Paired:
    """A difference in F1 (a − b, in percent) and the two-sided p-value of a paired test."""

    difference: float
    p: float
    permutations: int


def summary(values: Floats, *, confidence: float = 0.95) -> Summary:
    """Mean, standard deviation (n − 1) and Student's t interval of the mean over seeds.

    Raises:
        ValueError: no value, or one that is not finite.

    >>> print(summary([84.0, 86.0, 85.0]))
    85.00 ± 1.00
    """
    array = np.asarray(values, float)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise ValueError(f"expected one or more finite numbers, found {values!r}")
    _check_confidence(confidence)
    n, mean = len(array), float(array.mean())
    if n == 1:
        return Summary(mean, math.nan, 1, math.nan, math.nan)
    from scipy.special import stdtrit

    sd = float(array.std(ddof=1))
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * sd / math.sqrt(n)
    return Summary(mean, sd, n, mean - half, mean + half)


# --- power -------------------------------------------------------------------------------------


def power_factor(a: int, b: int, *, level: float = 0.05, power: float = 0.8) -> float:
    """How many standard errors of the difference of two means Student's test finds as a rule.

    With many runs it is 1.96 + 0.84 = 2.8. With few it is more, since the spread is itself guessed
    from them: the difference over its guessed error has a non-central t distribution.

    Args:
        a, b: runs in each arm.
        level: of the two-sided test.
        power: share of the experiments in which the difference is found.

    Raises:
        ValueError: an arm without runs, or two of one run each: no spread to guess.

    >>> [round(power_factor(n, n), 1) for n in (3, 5, 10, 1000)]
    [3.8, 3.2, 3.0, 2.8]
    """
    if a < 1 or b < 1 or a + b < 3:
        raise ValueError(f"{a} and {b} runs: give one or more in each arm, three together")
    for share in (level, power):
        _check_confidence(share)
    from scipy.special import nctdtrinc, stdtrit

    freedom = a + b - 2
    return float(nctdtrinc(freedom, 1 - power, stdtrit(freedom, 1 - level / 2)))


def detectable(a: Sequence[float], b: Sequence[float]) -> float:
    """The true difference that such runs of two arms show, at 5 %, in four of five experiments.

    Raises:
        ValueError: an arm of fewer than two runs.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(f"{len(a)} and {len(b)} runs: one run has no spread, give two or more")
    error = math.sqrt(sum(np.var(some, ddof=1) / len(some) for some in (a, b)))
    return power_factor(len(a), len(b)) * error


# --- counts ------------------------------------------------------------------------------------


def entity_counts(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> np.ndarray:
    """Entities (found, spurious, missed) of each sentence: int64 (sentences, 3).

    >>> entity_counts([["B-X", "O", "B-X"]], [["B-X", "I-X", "O"]]).tolist()
    [[0, 1, 2]]
    """
    if len(gold) != len(predicted):
        raise ValueError(f"{len(gold)} sentences in gold, {len(predicted)} predicted")
    rows = np.zeros((len(gold), 3), np.int64)
    for i, (true, made) in enumerate(zip(gold, predicted, strict=True)):
        if len(true) != len(made):
            raise ValueError(f"sentence {i}: {len(true)} tags in gold, {len(made)} predicted")
        left, right = set(entities(true)), set(entities(made))
        rows[i] = len(left & right), len(right - left), len(left - right)
    return rows


def _seeds(counts: np.ndarray, name: str, measure: Measure) -> np.ndarray:
    """Rows as (seeds, sentences, width); ValueError if they are something else."""
    array = np.asarray(counts)
    array = array[None] if array.ndim == 2 else array
    fits = array.ndim == 3 and array.shape[-1] == measure.width and 0 not in array.shape
    if not fits or (not measure.signed and (array < 0).any()):
        what = "rows" if measure.signed else "counts"
        raise ValueError(
            f"{name} has the shape {np.shape(counts)}: expected {what} (sentences, "
            f"{measure.width}) or (seeds, sentences, {measure.width})"
            + ("" if measure.signed else ", none negative")
        )
    return array.astype(float)


def _pair(a: np.ndarray, b: np.ndarray, measure: Measure) -> tuple[np.ndarray, np.ndarray]:
    left, right = _seeds(a, "a", measure), _seeds(b, "b", measure)
    if left.shape[1] != right.shape[1]:
        raise ValueError(f"{left.shape[1]} sentences in a, {right.shape[1]} in b: not a pair")
    gold = [measure.gold(x) for x in (left, right)]
    if (gold[0][0] != gold[1]).any() or (gold[0] != gold[1][0]).any():
        raise ValueError("a and b differ in their gold entities: not the same test sentences")
    return left, right


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, it must be between 0 and 1")


def _check_draws(name: str, draws: int) -> None:
    if draws < 1:
        raise ValueError(f"{name} is {draws}, it must be at least 1")


def _parts(draws: int, sentences: int) -> Iterator[int]:
    """Sizes of the parts in which so many draws are made, so that memory stays small."""
    size = max(1, CHUNK // sentences)
    while draws > 0:
        yield min(size, draws)
        draws -= size


# --- bootstrap ---------------------------------------------------------------------------------


def _resampled(
    models: Sequence[np.ndarray],
    groups: Sequence[np.ndarray],
    resamples: int,
    generator: np.random.Generator,
    measure: Measure,
) -> list[np.ndarray]:
    """For each model (seeds, sentences, width) the mean score (resamples,) of resampled seeds.

    With seeds in groups, the groups are resampled first and then the seeds of each.

    All models see the same resampled sentences. Seeds are drawn for each model on its own, as if
    seed 3 of one had nothing to do with seed 3 of another; if the two are alike, the interval of a
    difference is too wide rather than too narrow.
    """
    sentences = models[0].shape[1]
    even = np.full(sentences, 1 / sentences)
    parts: list[list[np.ndarray]] = [[] for _ in models]
    for size in _parts(resamples, sentences):
        times = generator.multinomial(sentences, even, size=size).astype(float)
        for model, of, kept in zip(models, groups, parts, strict=True):
            flat = model.transpose(1, 0, 2).reshape(sentences, -1)
            sums = (times @ flat).reshape(size, len(model), measure.width)
            each = measure.value(sums)  # (size, seeds)
            kept.append(_drawn(each, of, generator))
    return [np.concatenate(kept) for kept in parts]


def _drawn(each: np.ndarray, of: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Scores (resamples, seeds) to means (resamples,) of resampled groups of resampled seeds."""
    members = [np.flatnonzero(of == group) for group in dict.fromkeys(of.tolist())]
    picked = generator.integers(len(members), size=(len(each), len(members)))
    means = np.empty(picked.shape)
    for number, seeds in enumerate(members):
        rows, places = np.nonzero(picked == number)
        some = each[rows[:, None], seeds]
        if len(seeds) > 1:
            again = generator.integers(len(seeds), size=some.shape)
            some = np.take_along_axis(some, again, axis=1)
        means[rows, places] = some.mean(axis=1)
    found: np.ndarray = means.mean(axis=1)
    return found


def _groups(model: np.ndarray, groups: Sequence[int] | None, name: str) -> np.ndarray:
    """The group of each seed; each is one of its own if nothing is given."""
    found = np.arange(len(model)) if groups is None else np.asarray(groups)
    if found.shape != (len(model),):
        raise ValueError(f"{name} has {len(model)} seeds, and groups of {len(found)}")
    return found


def group_means(values: Floats, groups: Sequence[int]) -> list[float]:
    """The mean of each group of values, in the order in which groups occur.

    >>> group_means([80.0, 82.0, 90.0], [0, 0, 1])
    [81.0, 90.0]
    """
    some, of = np.asarray(values, float), np.asarray(groups)
    return [float(some[of == group].mean()) for group in dict.fromkeys(of.tolist())]


def _mean(rows: np.ndarray, measure: Measure, of: np.ndarray | None = None) -> float:
    scores = measure.value(rows.sum(axis=1))
    return float(np.mean(scores if of is None else group_means(scores, of.tolist())))


def bootstrap(
    counts: np.ndarray,
    *,
    groups: Sequence[int] | None = None,
    measure: Measure = F1,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """F1 of one model, mean over seeds, with a percentile interval over sentences and seeds.

    Args:
        counts: (sentences, 3) or (seeds, sentences, 3) from ``entity_counts``; for another
            measure, its rows.
        groups: of which group each seed is, such as the pre-training that several fine-tunings
            share; all stand alone if None. The mean is then that of the groups' means.

    Raises:
        ValueError: another shape, or not as many groups as seeds.
    """
    _check_confidence(confidence)
    _check_draws("resamples", resamples)
    model = _seeds(counts, "counts", measure)
    of = _groups(model, groups, "counts")
    (drawn,) = _resampled([model], [of], resamples, np.random.default_rng(seed), measure)
    return _interval(_mean(model, measure, of), drawn, confidence)


def bootstrap_difference(
    a: np.ndarray,
    b: np.ndarray,
    *,
    groups: tuple[Sequence[int] | None, Sequence[int] | None] = (None, None),
    measure: Measure = F1,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Interval:
    """F1 of a minus F1 of b, with a percentile interval: paired over sentences, free over seeds.

    Args:
        a, b: counts (sentences, 3) or (seeds, sentences, 3) on the same test sentences; the
            numbers of seeds may differ. For another measure, its rows.
        groups: those of a and of b, as ``bootstrap`` has them.

    Raises:
        ValueError: other shapes, or other gold entities in a than in b.
    """
    _check_confidence(confidence)
    _check_draws("resamples", resamples)
    left, right = _pair(a, b, measure)
    of = [_groups(*side) for side in zip((left, right), groups, "ab", strict=True)]
    drawn = _resampled([left, right], of, resamples, np.random.default_rng(seed), measure)
    difference = _mean(left, measure, of[0]) - _mean(right, measure, of[1])
    return _interval(difference, drawn[0] - drawn[1], confidence)


def _interval(value: float, drawn: np.ndarray, confidence: float) -> Interval:
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high), confidence)


# --- paired test -------------------------------------------------------------------------------


def paired_test(
    a: np.ndarray,
    b: np.ndarray,
    *,
    measure: Measure = F1,
    permutations: int = 10_000,
    seed: int = 0,
) -> Paired:
    """Approximate randomisation: is the difference in F1 larger than swapping answers gives?

    For each sentence a coin decides whether the two models swap their answers (of all seeds at
    once, as a sentence's answers are not independent over seeds); p is the share of the draws
    whose difference is at least as large as the one found, the real one counted too.

    Args:
        a, b: counts (sentences, 3), or (seeds, sentences, 3) with the same number of seeds; for
            another measure, its rows.

    Raises:
        ValueError: other shapes, other gold entities in a than in b, or other numbers of seeds.

    Reference:
        Yeh, More accurate tests for the statistical significance of result differences, COLING
        2000, section 3.
    """
    _check_draws("permutations", permutations)
    left, right = _pair(a, b, measure)
    if left.shape[0] != right.shape[0]:
        raise ValueError(f"{left.shape[0]} seeds in a, {right.shape[0]} in b: give equally many")
    seeds, sentences = left.shape[:2]
    found = _mean(left, measure) - _mean(right, measure)
    # A swap moves a row of (b − a) from one side to the other; sums of counts stay exact in floats.
    change = (right - left).transpose(1, 0, 2).reshape(sentences, -1)
    sums = left.sum(axis=1), right.sum(axis=1)
    generator = np.random.default_rng(seed)
    as_large = 0
    for size in _parts(permutations, sentences):
        swap = generator.integers(2, size=(size, sentences)).astype(float)
        moved = (swap @ change).reshape(size, seeds, measure.width)
        sides = [measure.value(side).mean(axis=1) for side in (sums[0] + moved, sums[1] - moved)]
        drawn = sides[0] - sides[1]
        as_large += int((np.abs(drawn) >= abs(found) - 1e-9).sum())
    return Paired(found, (as_large + 1) / (permutations + 1), permutations)
