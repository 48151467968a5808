"""Corrections and tests over runs, against naive forms, scipy, and their own promises."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_stats import model

from bioptimus_lib import significance, stats
from bioptimus_lib.significance import compare, holm, runs_test

HOLM = {
    "none": ([], []),
    "one": ([0.3], [0.3]),
    "by hand": ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
    "never down": ([0.02, 0.019, 0.02], [0.057, 0.057, 0.057]),
    "at most one": ([0.9, 0.8, 0.001], [1.0, 1.0, 0.003]),
}


@pytest.mark.parametrize("p, expected", HOLM.values(), ids=HOLM)
def test_holm(p, expected):
    assert holm(p) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_p_and_bonferroni_and_rejects_as_the_rule_says(p):
    found = holm(p)
    assert all(a <= b <= min(1, len(p) * a) + 1e-12 for a, b in zip(p, found, strict=True))
    for alpha in (0.01, 0.05, 0.3):
        rejected, left = set(), sorted(range(len(p)), key=lambda i: p[i])
        while left and p[left[0]] * len(left) <= alpha:  # the rule as Holm wrote it
            rejected.add(left.pop(0))
        assert rejected == {i for i, value in enumerate(found) if value <= alpha}


@pytest.mark.parametrize("p", [[-0.1], [1.5], [float("nan")]])
def test_holm_wants_probabilities(p):
    with pytest.raises(ValueError, match="from 0 to 1"):
        holm(p)


def test_runs_test_is_that_of_scipy():
    from scipy.stats import permutation_test

    rng = np.random.default_rng(4)
    for sizes in ((3, 3), (5, 5), (2, 6)):
        a, b = (rng.normal(k, 1, n) for k, n in enumerate(sizes))
        exact = permutation_test(
            (a, b), lambda x, y, axis: x.mean(axis) - y.mean(axis), vectorized=True,
            n_resamples=np.inf,
        )  # fmt: skip
        assert runs_test(a, b) == pytest.approx(
            np.mean(np.abs(exact.null_distribution) >= abs(exact.statistic) - 1e-9)
        )


def test_runs_test_counts_all_ways_to_deal_out_the_names():
    a, b = [3.0, 2.0], [1.0, 2.5]
    deals = [abs(sum(d[:2]) - sum(d[2:])) >= abs(sum(a) - sum(b)) for d in permutations(a + b)]
    assert runs_test(a, b) == pytest.approx(np.mean(deals))
    assert runs_test([1.0], [2.0]) == 1 and runs_test([1.0, 1.0], [1.0]) == 1
    with pytest.raises(ValueError, match="1 runs in a, 0 in b"):
        runs_test([1.0], [])


def test_runs_test_draws_where_there_are_too_many_ways(monkeypatch):
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.9, 1, 7), rng.normal(0, 1, 7)
    exact = runs_test(a, b)
    monkeypatch.setattr(significance, "MOST_DEALS", 3000)
    assert runs_test(a, b) == pytest.approx(exact, abs=0.03) and runs_test(a, b) != exact
    assert runs_test(a + 100, b) >= 1 / 3000  # the real one is always among them


def test_each_model_is_compared_with_the_first_of_its_set():
    sets = {
        "one": {"old": model(0.7, seeds=3), "new": model(0.9, seeds=3, seed=1)},
        "two": {"old": model(0.8, seeds=2), "same": model(0.8, seeds=2), "alone": model(0.6)},
        "three": {"old": model(0.8)},
    }
    found = compare(sets)
    assert [(c.dataset, c.model, c.first) for c in found] == [
        ("one", "new", "old"), ("two", "same", "old"), ("two", "alone", "old"),
    ]  # fmt: skip
    new, same, alone = found
    assert new.difference == stats.bootstrap_difference(sets["one"]["new"], sets["one"]["old"])
    assert new.p == stats.paired_test(sets["one"]["new"], sets["one"]["old"]).p < 0.001
    assert [c.p_holm for c in found] == holm([c.p for c in found])
    assert new.p_runs == 0.1 and same.p == same.p_runs == 1
    assert alone.p_runs == pytest.approx(1 / 3), "one of three deals"
    pair = sets["two"]["alone"], sets["two"]["old"]
    assert alone.difference == stats.bootstrap_difference(*pair), "of all runs that there are"
    assert {c.together for c in found} == {3}
    assert compare({}) == [] and compare({"three": sets["three"]}) == []
