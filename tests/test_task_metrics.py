"""Scores of tasks beyond entities against slow references, constants, intervals of any measure."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioptimus_lib import measures, significance, stats
from bioptimus_lib.task_metrics import (
    METRICS,
    best_constant,
    constants,
    label_counts,
    report,
)

LABELS = ("none", "a", "b", "c")
POSITIVE = ("a", "b", "c")


def drawn(kind: str, number: int, seed: int) -> tuple[list, list]:
    """Gold and predicted answers, more often right than not."""
    rng = random.Random(seed)
    if kind == "label":
        gold = [rng.choice(LABELS[:3]) for _ in range(number)]
        return gold, [g if rng.random() < 0.6 else rng.choice(LABELS) for g in gold]
    if kind == "labels":
        gold = [tuple(x for x in LABELS if rng.random() < 0.3) for _ in range(number)]
        made = [tuple(x for x in LABELS if (x in g) ^ (rng.random() < 0.2)) for g in gold]
        return gold, made
    gold = [round(rng.uniform(0, 4), 1) for _ in range(number)]
    return gold, [g + rng.gauss(0, 1) for g in gold]


# --- against references ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["label", "labels"])
@pytest.mark.parametrize("positive", [(), POSITIVE, ("a",)])
@pytest.mark.parametrize("number", [1, 7, 300])
def test_scores_are_those_of_scikit_learn(kind, positive, number):
    from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support
    from sklearn.preprocessing import MultiLabelBinarizer

    gold, made = drawn(kind, number, seed=number)
    binary = MultiLabelBinarizer(classes=LABELS)
    true, guess = (
        binary.fit_transform([a if kind == "labels" else (a,) for a in side])
        for side in (gold, made)
    )
    counted = [LABELS.index(label) for label in positive or LABELS]
    found, each = report(gold, made, labels=LABELS, positive=positive)
    for average in ("micro", "macro"):
        reference = f1_score(true, guess, labels=counted, average=average, zero_division=0)
        assert found[f"{average}_f1"] == pytest.approx(100 * reference)
    assert found["accuracy"] == pytest.approx(100 * accuracy_score(true, guess))
    reference = precision_recall_fscore_support(true, guess, average=None, zero_division=0)
    for i, label in enumerate(LABELS):
        mine = [each[label][name] for name in ("precision", "recall", "f1")]
        assert mine == pytest.approx([100 * column[i] for column in reference[:3]])
        assert each[label]["gold"] == reference[3][i]
    f1 = METRICS["f1"]
    rows = f1.rows(gold, made, labels=LABELS, positive=positive)
    assert rows.shape == (number, 3) and f1.value(rows) == pytest.approx(found["micro_f1"])
    if kind == "label":
        rows = METRICS["accuracy"].rows(gold, made, labels=LABELS, positive=positive)
        assert METRICS["accuracy"].value(rows) == pytest.approx(found["accuracy"])


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=3, max_size=40))
@settings(max_examples=200)
def test_correlation_is_that_of_numpy(numbers):
    x, y = (np.round(side, 2) for side in zip(*numbers, strict=True))
    mine = float(measures.pearson(measures.moments(x, y).sum(axis=0)))
    assert -100 <= mine <= 100
    if np.ptp(x) > 0.1 and np.ptp(y) > 0.1:
        assert mine == pytest.approx(100 * np.corrcoef(x, y)[0, 1], abs=1e-4)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert mine == 0


@pytest.mark.parametrize("spread", [1e-5, 1e-3, 1.0])
def test_numbers_that_are_nearly_alike_correlate_as_others_do(spread):
    rng = np.random.default_rng(0)
    y = rng.normal(size=100)
    x = 2.2 + spread * (y + rng.normal(size=100))
    mine = float(measures.pearson(measures.moments(x, y).sum(axis=0)))
    assert mine == pytest.approx(100 * np.corrcoef(x, y)[0, 1], abs=0.01)
    for constant in (0.1, 2.2, -1e6):
        assert measures.pearson(measures.moments([constant] * 100, y).sum(axis=0)) == 0


def test_numbers_are_reported():
    from scipy.stats import pearsonr, spearmanr

    gold, made = drawn("score", 100, seed=1)
    found, labels = report(gold, made, labels=(), positive=())
    assert found["pearson"] == pytest.approx(100 * pearsonr(made, gold).statistic)
    assert found["spearman"] == pytest.approx(100 * spearmanr(made, gold).statistic)
    assert found["error"] == pytest.approx(np.mean(np.abs(np.subtract(made, gold)))) and not labels
    constant = report(gold, [2.0] * 100, labels=(), positive=())[0]
    assert (constant["pearson"], constant["spearman"]) == (0, 0)


@pytest.mark.parametrize("kind", ["label", "labels", "score"])
def test_an_answer_for_each_example_or_none_is_scored(kind):
    gold, made = drawn(kind, 10, seed=0)
    labels = () if kind == "score" else LABELS
    metric = METRICS["pearson" if kind == "score" else "f1"]
    for wrong in (made[:-1], made + made[:1]):
        with pytest.raises(ValueError, match="10 gold answers"):
            report(gold, wrong, labels=labels, positive=())
        with pytest.raises(ValueError, match="10 gold answers"):
            metric.rows(gold, wrong, labels=labels, positive=())
    with pytest.raises(ValueError, match="0 gold"):
        report([], [], labels=labels, positive=())


def test_counts_leave_out_what_does_not_count():
    gold, made = ["none", "a", "a", "b"], ["a", "none", "b", "b"]
    rows = [[0, 1, 0], [0, 0, 1], [0, 1, 1], [1, 0, 0]]
    assert label_counts(gold, made, POSITIVE).tolist() == rows
    with pytest.raises(ValueError, match="finite"):
        measures.moments([1.0, float("nan")], [1.0, 2.0])


# --- constants ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["accuracy", "f1"])
def test_the_best_constant_is_found_by_looking_at_all(name):
    metric = METRICS[name]
    for seed in range(20):
        gold, _ = drawn("label", 30, seed)

        def score(label, gold=gold):
            made = [label] * len(gold)
            return metric.value(metric.rows(gold, made, labels=LABELS, positive=POSITIVE))

        best = best_constant(gold, metric, labels=LABELS, positive=POSITIVE)
        assert score(best) == max(map(score, LABELS))
    majority = best_constant(["a", "b", "b"], METRICS["accuracy"], labels=LABELS, positive=())
    assert majority == "b"


def test_the_best_set_of_labels_for_all_is_found_by_looking_at_all():
    from itertools import combinations

    metric = METRICS["f1"]
    for seed in range(20):
        gold, _ = drawn("labels", 30, seed)

        def score(some, gold=gold):
            made = [tuple(some)] * len(gold)
            return metric.value(metric.rows(gold, made, labels=LABELS, positive=()))

        best = best_constant(gold, metric, labels=LABELS, positive=())
        every = [some for k in range(5) for some in combinations(LABELS, k)]
        assert score(best) == pytest.approx(max(map(score, every)))


def test_constants():
    assert constants([1.0, 2.0, 6.0]) == [3.0]
    assert constants([("a",), ("a", "b"), ()]) == [("a",), ("a", "b")]
    assert constants([(), ()]) == [()]
    with pytest.raises(ValueError, match="no answer"):
        constants([])


# --- intervals and tests for any measure -------------------------------------------------------


def correlated(seeds: int, examples: int, noise: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    gold = np.random.default_rng(0).normal(size=examples)
    return np.stack([
        measures.moments(gold + noise * rng.normal(size=examples), gold) for _ in range(seeds)
    ])  # fmt: skip


def test_the_interval_of_a_correlation_is_that_of_a_slow_loop():
    rows = correlated(1, 80, 0.8, seed=1)
    found = stats.bootstrap(rows, measure=measures.PEARSON, resamples=3000)
    x, y = rows[0, :, 1], rows[0, :, 2]
    assert found.value == pytest.approx(100 * np.corrcoef(x, y)[0, 1])
    rng = np.random.default_rng(5)
    slow = []
    for _ in range(3000):
        some = rng.integers(80, size=80)
        slow.append(100 * np.corrcoef(x[some], y[some])[0, 1])
    low, high = np.quantile(slow, [0.025, 0.975])
    assert found.low == pytest.approx(low, abs=1.5) and found.high == pytest.approx(high, abs=1.5)


def test_models_are_compared_by_their_correlation():
    good, bad = correlated(3, 120, 0.5, seed=1), correlated(3, 120, 2.0, seed=2)
    (found,) = significance.compare({"s": {"bad": bad, "good": good}},
                                    measures={"s": measures.PEARSON})  # fmt: skip
    value = [measures.pearson(m.sum(axis=1)).mean() for m in (good, bad)]
    assert found.difference.value == pytest.approx(value[0] - value[1])
    assert found.difference.low > 0 and found.p < 0.01 and found.p_runs == 0.1
    same = stats.paired_test(good, good, measure=measures.PEARSON, permutations=200)
    assert (same.difference, same.p) == (0, 1)
    with pytest.raises(ValueError, match="gold"):
        other = measures.moments(np.ones(120), np.arange(120.0))
        stats.bootstrap_difference(good[0], other, measure=measures.PEARSON)
    with pytest.raises(ValueError, match="expected rows .sentences, 6."):
        stats.bootstrap(good[..., :3], measure=measures.PEARSON)
