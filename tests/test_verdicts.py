"""What is said of the questions of chapter 10: from rows of a ledger, complete or not."""

from __future__ import annotations

import numpy as np
import pytest

from bioptimus_lib import evidence, ledger, stats, verdicts
from bioptimus_lib.experiments.compared import differences, packed

SENTENCES, SIZE = 120, "tiny, 4 × 10 steps"
ARMS = {"continued": 0.70, "better": 0.90, "twin": 0.70, "worse": 0.50}


def counts(right: float, seed: int) -> list[list[int]]:
    """Entities (found, spurious, missed) of sentences with two entities each."""
    found = np.random.default_rng(seed).binomial(2, right, SENTENCES)
    return [[int(n), int(2 - n), int(2 - n)] for n in found]


def fine_tuned(model: str, right: float, seeds: int = 3, dataset: str = "NCBI-disease") -> list:
    rows = []
    for seed in range(seeds):
        some = counts(right, seed)
        f1 = 100 * sum(row[0] for row in some) / (2 * SENTENCES)
        rows.append({
            "model": model, "dataset": dataset, "variant": f"{SIZE}: fine-tuned", "seed": seed,
            "metrics": {"f1": f1, "devel_f1": f1}, "counts": packed(np.array(some)),
        })  # fmt: skip
    return rows


def finished(some: list, *, first: str) -> list:
    return some + differences(some, first=first)


def pre_trained(model: str, bits: float, tokens: int = 2_000_000) -> list:
    return [
        {"model": model, "dataset": "biomed", "variant": f"{SIZE}: pre-training", "seed": seed,
         "metrics": {"bits_per_byte": bits + seed / 100}, "tokens": tokens, "steps": 1000}
        for seed in range(3)
    ]  # fmt: skip


@pytest.fixture
def rows(monkeypatch):
    """A way to put rows into the ledger that the functions read."""
    kept: dict[str, list] = {}

    def read(experiment):
        if experiment not in kept:
            raise FileNotFoundError(experiment)
        return kept[experiment]

    def put(experiment, some):
        common = {"profile": "any", "device": "a test", "command": "bioptimus experiment x"}
        kept[experiment] = [{**common, "experiment": experiment, **row} for row in some]

    monkeypatch.setattr(ledger, "read", read)
    return put


@pytest.fixture
def approach(rows):
    some = [row for name, right in ARMS.items() for row in fine_tuned(name, right)]
    rows("approach", pre_trained("continued", 1.5) + finished(some, first="continued"))


def test_a_question_without_rows_says_how_to_make_some(rows):
    said = verdicts.answer("approach")
    assert "no rows of <b>approach</b>" in said and evidence.COMMANDS["approach"] in said
    assert "not run yet" in verdicts.abstract({"approach": "how to begin"})


def test_rows_without_a_first_arm_are_no_answer(rows):
    rows("approach", finished(fine_tuned("better", 0.9), first="continued"))
    assert "no rows" in verdicts.answer("approach")


def test_what_is_told_apart_and_what_is_not(approach):
    said = verdicts.said("approach", SIZE)
    assert "better (+" in said and "worse (-" in said
    assert "twin" not in said
    assert "1 of 3 not" in said
    assert "beside <i>continued</i>, 3 seeds" in said
    (some,) = verdicts.differences("approach", SIZE).values()
    least = {row["model"].split(verdicts.MINUS)[0]: verdicts.would_be_seen("approach", row)
             for row in some}  # fmt: skip
    assert f"Of these a difference of {least['twin']:.1f} points would mostly have been" in said
    assert all(f">{x:.1f}<" in verdicts.answer("approach") for x in least.values())


def test_what_would_be_seen_is_asked_of_seeds_and_of_the_interval(approach):
    """Told apart needs an interval without 0, so runs that agree by luck promise nothing."""
    (some,) = verdicts.differences("approach", SIZE).values()
    row = some[0]
    f1 = {n: [r["metrics"]["f1"] for r in fine_tuned("", x)] for n, x in ARMS.items()}
    runs = stats.detectable(f1["better"], f1["continued"])
    narrow = {**row, "metrics": {**row["metrics"], "low": 19.9, "high": 20.0}}
    assert verdicts.would_be_seen("approach", narrow) == pytest.approx(runs)
    wide = {**row, "metrics": {**row["metrics"], "low": 0.0, "high": 39.2}}
    assert verdicts.would_be_seen("approach", wide) == pytest.approx(28.0, abs=0.1)


def test_the_promise_of_what_would_be_seen_holds_for_the_rule():
    """Simulated runs whose sentences vary more than their seeds: the rule finds the promised
    difference in about four of five cases; the spread of seeds alone would promise far too much."""
    draw, sentence, seed = np.random.default_rng(0), 1.0, 0.3
    error = np.sqrt(sentence**2 + 2 * seed**2 / 3)
    found = {"seeds": 0, "both": 0}
    for _ in range(2000):
        truth = {
            "seeds": stats.power_factor(3, 3) * np.sqrt(2 * seed**2 / 3),
            "both": stats.power_factor(verdicts.MANY, verdicts.MANY) * error,
        }
        a, b = draw.normal(0, seed, (2, 3))
        shift = draw.normal(0, sentence)  # of the test's sentences, the same for all runs
        for name, true in truth.items():
            gap = true + shift + a.mean() - b.mean()
            found[name] += abs(gap) > verdicts.NORMAL * error
    assert 0.77 < found["both"] / 2000 < 0.83
    assert found["seeds"] / 2000 < 0.3


def test_one_seed_tells_nothing_apart(rows):
    some = fine_tuned("continued", 0.5, seeds=1) + fine_tuned("better", 0.9, seeds=1)
    rows("approach", finished(some, first="continued"))
    said = verdicts.said("approach", SIZE)
    assert "told apart from it are none; 1 of 1 not" in said
    assert "would have been seen" not in said, "one seed has no spread"
    assert "1 seed:" in said
    assert "<figure" in verdicts.answer("approach") or "<img" in verdicts.answer("approach")


def test_a_difference_is_sure_if_interval_and_runs_agree(approach):
    (some,) = verdicts.differences("approach", SIZE).values()
    sure = {row["model"].split(verdicts.MINUS)[0]: verdicts.is_sure(row) for row in some}
    assert sure == {"better": True, "twin": False, "worse": True}
    row = next(row for row in some if row["model"].startswith("better"))
    assert not verdicts.is_sure({**row, "metrics": {**row["metrics"], "p_runs": 0.2}})
    assert not verdicts.is_sure({**row, "metrics": {**row["metrics"], "low": -0.1}})


def test_the_answer_has_figure_tables_and_command(approach):
    page = verdicts.answer("approach")
    assert "Differences in entity F1 on NCBI-disease to continued" in page
    assert "bits per byte" in page and "1.510 ± 0.010" in page
    assert "bioptimus experiment x" in page
    assert page.index("told apart") < page.index("bits per byte")


def test_each_size_is_answered_by_itself(rows):
    small = finished([*fine_tuned("continued", 0.7), *fine_tuned("other", 0.9)], first="continued")
    large = [
        {**row, "variant": row["variant"].replace(SIZE, "large, 4 × 99 steps")}
        for row in finished([*fine_tuned("continued", 0.7), *fine_tuned("other", 0.5)],
                            first="continued")
    ]  # fmt: skip
    rows("approach", [*small, *large])
    assert verdicts.sizes("approach") == [SIZE, "large, 4 × 99 steps"]
    page = verdicts.answer("approach")
    assert page.count("<figure") + page.count("<img") >= 2 and page.count("What each seed") == 2
    order = [page.index(text) for text in (SIZE, "other (+", "large, 4", "other (-")]
    assert order == sorted(order)
    assert "other (-" not in verdicts.said("approach", SIZE)
    rows_of = evidence.rows_of("approach", "difference")
    (row,) = (row for row in rows_of if "large" in row["variant"])
    assert verdicts.would_be_seen("approach", row) is not None
    assert verdicts.in_line(row, "x") == "large, 4 × 99 steps: x"
    both = verdicts.abstract({"approach": "how"})
    assert f"{SIZE}: how" in both and "large, 4 × 99 steps: how" in both


def test_the_abstract_names_gains_and_losses_and_how_many_are_sure(approach):
    page = verdicts.abstract({"approach": "how to begin", "best": "which is best"})
    assert "better: +" in page and "worse: -" in page
    assert "2 of 3" in page
    assert "not run yet" in page


def test_an_arm_that_only_loses_is_no_gain(rows):
    some = fine_tuned("first", 0.9) + fine_tuned("worse", 0.5)
    rows("masking", finished(some, first="first"))
    page = verdicts.abstract({"masking": "masks"})
    assert "none" in page and "worse: -" in page


def test_names_are_escaped(rows):
    some = fine_tuned("a<b>", 0.5) + fine_tuned("<script>", 0.9)
    rows("approach", finished(some, first="a<b>"))
    for page in (verdicts.answer("approach"), verdicts.abstract({"approach": "<i>"})):
        assert "<script>" not in page and "a<b>" not in page


def test_points_of_the_budget(rows):
    some = pre_trained("v0.4, 1 of the steps", 1.2) + fine_tuned("v0.4, 1 of the steps", 0.7)
    rows("budget", [*some, *fine_tuned("old", 0.6)])
    read = verdicts.tokens_of("budget")
    assert read[(SIZE, "v0.4, 1 of the steps", 2)] == 2_000_000
    tuned = [row for row in some if "f1" in row["metrics"]]
    assert verdicts.budget_points(tuned[0], read) == [(2.0, tuned[0]["metrics"]["f1"])]
    assert verdicts.budget_points(fine_tuned("old", 0.6)[0], read) == [], "it has read nothing"
