"""Spread, bootstrap and paired tests, against hand-made cases, scipy, and their own promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioptimus_lib.stats import (
    bootstrap,
    bootstrap_difference,
    detectable,
    entity_counts,
    f1,
    paired_test,
    power_factor,
    summary,
)


def test_summary_is_students():
    from scipy import stats

    values = [84.1, 85.7, 83.9, 86.2, 85.0]
    found = summary(values)
    interval = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert (found.mean, found.sd, found.n) == (np.mean(values), np.std(values, ddof=1), 5)
    assert (found.low, found.high) == pytest.approx(interval)
    assert str(found) == "84.98 ± 0.99"


def test_one_value_has_no_spread():
    found = summary([85.0])
    assert found.mean == 85 and str(found) == "85.00"
    assert all(math.isnan(x) for x in (found.sd, found.low, found.high))


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf], [[1.0, 2.0]]])
def test_summary_wants_finite_numbers(values):
    with pytest.raises(ValueError, match="finite"):
        summary(values)


@pytest.mark.parametrize("a, b", [(3, 3), (5, 5), (3, 8)])
def test_the_detectable_difference_is_found_in_four_of_five_experiments(a, b):
    from scipy import stats

    rng = np.random.default_rng(a + b)
    error = np.sqrt(1 / a + 1 / b)
    arms = rng.normal(power_factor(a, b) * error, 1, (a, 20_000)), rng.normal(0, 1, (b, 20_000))
    assert (stats.ttest_ind(*arms).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.01)


def test_the_factor_of_many_runs_is_that_of_the_bell_curve():
    assert power_factor(10_000, 10_000) == pytest.approx(1.96 + 0.8416, abs=1e-3)
    assert power_factor(3, 3, power=0.9) > power_factor(3, 3) > power_factor(3, 3, level=0.1)
    assert detectable([70.0, 72.0, 74.0], [71.0, 72.0, 73.0]) == pytest.approx(
        power_factor(3, 3) * math.sqrt(4 / 3 + 1 / 3)
    )
    for wrong in (lambda: power_factor(1, 1), lambda: power_factor(0, 5),
                  lambda: power_factor(3, 3, power=1.0), lambda: detectable([1.0], [1.0, 2.0])):
        with pytest.raises(ValueError):
            wrong()


COUNTS = {  # gold, predicted, (found, spurious, missed)
    "right": ("B-X I-X O", "B-X I-X O", (1, 0, 0)),
    "boundary": ("B-X I-X O", "B-X O O", (0, 1, 1)),
    "type": ("B-X O O", "B-Y O O", (0, 1, 1)),
    "missed": ("B-X O B-X", "O O B-X", (1, 0, 1)),
    "spurious": ("O O O", "B-X O B-Y", (0, 2, 0)),
    "orphan": ("B-X O O", "I-X O O", (0, 0, 1)),
    "nothing": ("O O", "O O", (0, 0, 0)),
}


@pytest.mark.parametrize("gold, predicted, counts", COUNTS.values(), ids=COUNTS)
def test_counts(gold, predicted, counts):
    assert tuple(entity_counts([gold.split()], [predicted.split()])[0]) == counts


def test_the_sum_of_the_counts_gives_the_score_of_seqeval():
    from bioptimus_lib.entity_score import score

    gold = [row[0].split() for row in COUNTS.values()]
    made = [row[1].split() for row in COUNTS.values()]
    assert float(f1(entity_counts(gold, made).sum(0))) == pytest.approx(score(gold, made)["f1"])
    with pytest.raises(ValueError, match="sentences"):
        entity_counts(gold, made[1:])
    with pytest.raises(ValueError, match="sentence 0"):
        entity_counts([["O"]], [["O", "O"]])


def test_f1_of_nothing_is_zero():
    assert f1(np.array([[0, 0, 0], [3, 0, 0], [0, 2, 2]])).tolist() == [0, 100, 0]


def model(skill: float, *, seeds: int = 1, sentences: int = 400, seed: int = 0) -> np.ndarray:
    """Counts of a model that finds each entity with probability ``skill``; gold is always one."""
    rng = np.random.default_rng(seed)
    gold = np.random.default_rng(99).integers(0, 4, sentences)
    found = rng.binomial(gold, skill, (seeds, sentences))
    return np.stack([found, rng.binomial(1, (1 - skill) / 2, found.shape), gold - found], axis=-1)


def naive_bootstrap(counts: np.ndarray, resamples: int) -> np.ndarray:
    """As the book describes it: draw sentences with replacement, add up, score."""
    rng = np.random.default_rng(5)
    n = len(counts)
    return np.array([f1(counts[rng.integers(n, size=n)].sum(0)) for _ in range(resamples)])


def test_the_bootstrap_is_the_naive_one():
    counts = model(0.8)[0]
    found = bootstrap(counts, resamples=4000)
    drawn = naive_bootstrap(counts, 4000)
    assert found.value == float(f1(counts.sum(0)))
    assert (found.low, found.high) == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.25)
    assert found.low < found.value < found.high


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(3)
    gold = rng.integers(1, 3, 200_000)
    truth = 100 * 2 * 0.7 / 1.7  # recall 0.7, nothing spurious
    covered = 0
    for k in range(150):
        some = rng.choice(gold, 200)
        found = rng.binomial(some, 0.7)
        counts = np.stack([found, 0 * found, some - found], axis=-1)
        interval = bootstrap(counts, resamples=300, seed=k)
        covered += interval.low <= truth <= interval.high
    assert 0.88 <= covered / 150 <= 0.99


def test_seeds_widen_the_interval():
    same = np.repeat(model(0.8), 5, axis=0)  # five seeds that agree in everything
    spread = np.concatenate([model(s, seed=k) for k, s in enumerate((0.6, 0.7, 0.8, 0.9, 0.95))])
    one, five, wide = bootstrap(same[:1]), bootstrap(same), bootstrap(spread)
    assert (five.low, five.high) == (one.low, one.high)
    assert wide.high - wide.low > 2 * (one.high - one.low)


def test_pairing_narrows_the_difference():
    a = model(0.8)[0]
    b = a.copy()
    b[::50, 0], b[::50, 2] = 0, a[::50, 0] + a[::50, 2]  # the same answers but for a few sentences
    paired = bootstrap_difference(a, b)
    single = bootstrap(a)
    assert paired.low >= 0 and paired.value > 0
    assert paired.high - paired.low < 0.5 * (single.high - single.low)
    turned = bootstrap_difference(b, a)
    assert turned.value == -paired.value
    assert (turned.low, turned.high) == pytest.approx((-paired.high, -paired.low))


def test_the_numbers_of_seeds_may_differ():
    found = bootstrap_difference(model(0.9, seeds=3), model(0.6, seeds=5, seed=1))
    assert found.low > 10 and found.value == pytest.approx(
        f1(model(0.9, seeds=3).sum(1)).mean() - f1(model(0.6, seeds=5, seed=1).sum(1)).mean()
    )


def test_fine_tunings_of_one_pre_training_are_no_draws_of_their_own():
    draw = np.random.default_rng(0)
    luck = (0.9, 0.7, 0.5)  # of three pre-trainings, four fine-tunings each
    counts = np.stack([
        np.stack([found := draw.random(300) < right, ~found, ~found], axis=1).astype(int)
        for right in luck for _ in range(4)
    ])  # fmt: skip
    groups = [number for number in range(3) for _ in range(4)]
    alone, nested = bootstrap(counts), bootstrap(counts, groups=groups)
    assert nested.value == pytest.approx(alone.value)
    assert nested.high - nested.low > 1.5 * (alone.high - alone.low)
    # Groups of one are seeds as they always were, to the last digit; unequal ones weigh the same.
    assert bootstrap(counts, groups=range(12)) == alone
    assert bootstrap_difference(counts, counts[:1], groups=(range(12), [7])) == (
        bootstrap_difference(counts, counts[:1])
    )
    few = bootstrap(counts[3:], groups=groups[3:])
    each = [bootstrap(rows).value for rows in (counts[3:4], counts[4:8], counts[8:])]
    assert few.value == pytest.approx(np.mean(each))
    with pytest.raises(ValueError, match="counts has 12 seeds, and groups of 2"):
        bootstrap(counts, groups=[0, 1])


def test_the_same_seed_gives_the_same_numbers_whatever_the_chunks(monkeypatch):
    from bioptimus_lib import stats

    a, b = model(0.8, seeds=2), model(0.78, seeds=2, seed=1)
    np.random.seed(1)
    first = bootstrap_difference(a, b), paired_test(a, b, permutations=500)
    np.random.seed(2)
    assert (bootstrap_difference(a, b), paired_test(a, b, permutations=500)) == first
    assert bootstrap_difference(a, b, seed=1) != first[0]
    monkeypatch.setattr(stats, "CHUNK", 400 * 7)  # 7 draws at once
    assert paired_test(a, b, permutations=500) == first[1]


def test_the_paired_test_is_the_exact_one_on_few_sentences():
    from itertools import product

    a, b = model(0.9, sentences=8, seed=1)[0], model(0.4, sentences=8, seed=2)[0]
    found = f1(a.sum(0)) - f1(b.sum(0))
    all_ways = []
    for ways in product([False, True], repeat=8):
        swap = np.array(ways)[:, None]
        left, right = np.where(swap, b, a), np.where(swap, a, b)
        all_ways.append(abs(f1(left.sum(0)) - f1(right.sum(0))) >= abs(found) - 1e-9)
    result = paired_test(a, b, permutations=20_000)
    assert result.difference == pytest.approx(found)
    assert result.p == pytest.approx(np.mean(all_ways), abs=0.015)


def test_equal_models_do_not_differ_and_unlike_ones_do():
    a = model(0.8, seeds=3)
    assert paired_test(a, a, permutations=200).p == 1
    strong = paired_test(a, model(0.6, seeds=3, seed=4), permutations=999)
    assert strong.p == 1 / 1000 and strong.difference > 10


def test_p_is_even_when_nothing_differs():
    p = [
        paired_test(model(0.8, seed=2 * k), model(0.8, seed=2 * k + 1), permutations=200).p
        for k in range(150)
    ]
    assert 0.4 < np.mean(p) < 0.6
    assert np.mean(np.array(p) < 0.05) < 0.11


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30))
@settings(max_examples=50)
def test_intervals_are_ordered_and_within_bounds(rows):
    counts = np.array([(found, spurious, 1) for found, spurious in rows])
    found = bootstrap(counts, resamples=50)
    assert 0 <= found.low <= found.high <= 100 and 0 <= found.value <= 100


BAD = {
    "no sentence": (np.zeros((0, 3)), np.zeros((0, 3)), "shape"),
    "two columns": (np.zeros((4, 2)), np.zeros((4, 2)), "shape"),
    "negative": (-np.ones((4, 3)), np.ones((4, 3)), "negative"),
    "other sentences": (np.ones((4, 3)), np.ones((5, 3)), "4 sentences in a, 5"),
    "other gold": (np.array([[1, 0, 0]]), np.array([[1, 0, 1]]), "gold"),
}


@pytest.mark.parametrize("a, b, message", BAD.values(), ids=BAD)
def test_what_is_no_pair_is_refused(a, b, message):
    for compare in (bootstrap_difference, paired_test):
        with pytest.raises(ValueError, match=message):
            compare(a, b)


def test_other_wrong_values():
    with pytest.raises(ValueError, match="equally many"):
        paired_test(model(0.8, seeds=2), model(0.8, seeds=3))
    with pytest.raises(ValueError, match="confidence"):
        bootstrap(model(0.8), confidence=95)
    with pytest.raises(ValueError, match="permutations"):
        paired_test(model(0.8), model(0.8), permutations=0)
