"""Seeds within seeds: two spreads, who belongs to whom, and what tables make of it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bioptimus_lib import evidence, ledger, ner_tables, nested, plots_ledger, results_page
from bioptimus_lib.experiments import phases


def row(model: str, seed: int | None, experiment: str = "phases", **metrics: float) -> dict:
    return {
        "experiment": experiment, "model": model, "dataset": "D", "profile": "any", "seed": seed,
        "variant": "fine-tuned" if "f1" in metrics else "pre-training", "metrics": metrics,
        "device": "a test", "command": "bioptimus experiment phases", "commit": None,
    }  # fmt: skip


ROWS = [
    *(row(model, seed, loss=3.0 + seed) for model in ("v0.4", "v0.1") for seed in range(3)),
    *(row("v0.4", 1000 * run + n, f1=60.0 + 3 * run + 2 * n) for run in range(3) for n in range(2)),
    *(row("v0.1", 1000 * run + n, f1=50.0 + n) for run in (1, 2) for n in range(2)),
    row("old", 0, f1=40.0), row("old", 1, f1=42.0),
]  # fmt: skip


@pytest.fixture
def rows(monkeypatch):
    monkeypatch.setattr(ledger, "read", lambda experiment: ROWS)


def test_both_spreads_come_out_as_they_went_in():
    draw = np.random.default_rng(0)
    groups = 70 + draw.normal(0, 2, (4000, 1)) + draw.normal(0, 1, (4000, 5))
    found = nested.summary(groups.tolist())
    assert found.within == pytest.approx(1, abs=0.02)
    assert found.sd == pytest.approx(math.sqrt(4 + 1 / 5), abs=0.1), "of means, not of values"
    assert found.count == "4000 × 5"


@pytest.mark.parametrize("groups, text, count", [
    ([[67.0, 69.0], [70.0, 72.0]], "69.50 ± 2.12 / 1.41", "2 × 2"),
    ([[1.0], [3.0]], "2.00 ± 1.41", "2"),
    ([[1.0, 3.0]], "2.00 / 1.41", "1 × 2"),
    ([[5.0]], "5.00", "1"),
    ([[1.0, 3.0], [6.0]], "4.00 ± 2.83 / 1.41", "2 × 1 to 2"),
])  # fmt: skip
def test_what_is_not_known_is_not_shown(groups, text, count):
    found = nested.summary(groups)
    assert (str(found), found.count) == (text, count)


def test_nothing_has_no_mean():
    for groups in ([], [[]], [[1.0], []]):
        with pytest.raises(ValueError, match="groups with values"):
            nested.summary(groups)


def test_rows_of_other_experiments_stand_alone():
    alone = [row("v0.4", seed, "masking", f1=60.0 + seed) for seed in range(3)]
    assert nested.groups_of(alone, "f1") == [[60.0], [61.0], [62.0]]
    together = [row("v0.4", None, f1=60.0), row("v0.4", None, f1=61.0)]
    assert nested.groups_of(together, "f1") == [[60.0], [61.0]], "without a seed"
    mine = [some for some in ROWS if some["model"] == "v0.4"]
    assert nested.groups_of(mine, "f1") == [[60.0, 62.0], [63.0, 65.0], [66.0, 68.0]]
    assert nested.groups_of(mine, "loss") == [[3.0], [4.0], [5.0]]


def test_the_table_of_versions(rows):
    html = evidence.metrics_table("phases", {"loss": "loss", "F1": "f1"}, first="version")
    assert html.index(">old<") < html.index(">v0.1<") < html.index(">v0.4<")
    assert ">seeds<" in html and nested.READ in html
    assert ">64.00 ± 3.00 / 1.41<" in html and ">3 × 2<" in html
    assert ">41.00 / 1.41<" in html and ">1 × 2<" in html
    said = "v0.1 (1 of 3 pre-trainings)"
    assert said in html and "v0.4 (" not in html and "old (" not in html
    few = evidence.metrics_table("phases", {"F1": "f1"}, keep=lambda r: r["model"] == "v0.4")
    assert "still missing" not in few, "it is not for a table to say what it does not show"
    assert "v0.2 (3 of 3 pre-trainings)" in evidence.missing(ROWS)


def test_nothing_is_missing_where_all_is_there():
    whole = [row(model, 1000 * n, f1=1.0) for model in phases.TRAINED for n in range(2)]
    assert evidence.missing(whole) == ""
    assert set(nested.TRAINED) == set(phases.TRAINED)


def test_other_pages_say_the_same(rows, monkeypatch):
    assert "v0.4 64 ± 3 / 1.4" in plots_ledger.seeds("phases", "f1", title="T", xlabel="x")
    page = results_page.section("phases")
    page = page.replace("\N{NO-BREAK SPACE}", " ")
    assert "f1 64 ± 3 / 1.4</td><td>3 × 2</td>" in page and nested.READ in page
    some = [{**some, "experiment": "ner-table"} for some in ROWS if "f1" in some["metrics"]]
    monkeypatch.setattr(ledger, "read", lambda experiment: some)
    assert ">64.00 ± 3.00 / 1.41 (3 × 2)<" in ner_tables.f1_table()
