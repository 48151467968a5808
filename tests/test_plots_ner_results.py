"""Figures of NER results, and the ledger's rows as tables beside the paper."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from bioptimus_lib import evidence, ner_tables
from bioptimus_lib.plots_ner_results import Row, draws, forest
from tests.conftest import sound_svg

NORMAL = np.random.default_rng(0).normal(0, 1, 2000)
FIGURES = {
    "forest": lambda: forest(
        {"old": Row(70, 68, 72, [69.0, 71.0]), "new": Row(75, math.nan, math.nan)},
        title="F1", xlabel="F1, per cent",
    ),
    "differences": lambda: forest(
        {"new − old": Row(5, 2, 8), "other − old": Row(1, -1, 3)},
        title="Beside the old", xlabel="difference", zero=True,
    ),
    "resamples": lambda: draws(
        NORMAL + 80, title="Resamples", xlabel="F1", band=(78.0, 82.0), marks={"found": 80.0}
    ),
    "by chance": lambda: draws(NORMAL, title="Swaps", xlabel="difference", beyond=1.5,
                               marks={"found": 1.5}),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_sound_svg_and_the_same_each_time(name):
    assert len(sound_svg(FIGURES[name])) < 300_000


def test_a_difference_that_may_be_none_is_open():
    axes = FIGURES["differences"]().axes[0]
    marks = [line.get_marker() for line in axes.lines if line.get_marker() in "oD"
             and len(line.get_xdata()) == 1]  # fmt: skip
    assert marks == ["o", "D"]
    assert [text.get_text() for text in axes.texts] == ["+5.0", "+1.0"]
    assert axes.get_xlim()[0] < -1 and axes.get_ylim()[0] > axes.get_ylim()[1]


def test_draws_beyond_are_hatched_and_counted():
    figure = FIGURES["by chance"]()
    share = (abs(NORMAL) >= 1.5).mean()
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert f"as far from 0: {share:.1%}" in labels and "found" in labels
    bars = [bar for bar in figure.axes[0].patches if bar.get_hatch() and bar.get_height()]
    assert all(abs(bar.get_x() + bar.get_width() / 2) >= 1.5 for bar in bars)


@pytest.mark.parametrize("call", [
    lambda: forest({}, title="", xlabel=""),
    lambda: draws([], title="", xlabel=""),
    lambda: draws([1.0], title="", xlabel="", marks=dict.fromkeys("abcde", 1.0)),
])  # fmt: skip
def test_nothing_to_draw_is_an_error(call):
    with pytest.raises(ValueError):
        call()


# -- the ledger ----------------------------------------------------------------------------------


def row(model, dataset, seed, variant="tiny, 4 × 10 steps", **metrics):
    return {
        "model": model, "dataset": dataset, "seed": seed, "variant": variant, "profile": "any",
        "metrics": metrics, "command": "bioptimus experiment ner-table", "device": "cpu: <one>",
    }  # fmt: skip


@pytest.fixture
def rows(monkeypatch):
    found = [
        row("v0.4", "BC2GM", 0, f1=60.0), row("old", "BC2GM", 0, f1=50.0),
        row("old", "BC2GM", 1, f1=52.0), row("old", "mine", 0, f1=12.0),
        row("minilm", "BC2GM", 0, "as published", f1=77.0),
        row("old", "BC2GM", None, "tiny, together", f1=51.0, low=49.0, high=53.0, seeds=2),
        row("v0.4 − old", "BC2GM", None, "tiny, difference", difference=9.0, low=7.0, high=11.0,
            p=0.001, p_holm=0.002, p_runs=0.1, seeds=1, comparisons=2),
    ]  # fmt: skip
    monkeypatch.setattr(evidence.ledger, "read", lambda _: found)
    return found


def text(html):
    return re.sub(r"<style>.*?</style>", "", html, flags=re.S)


def test_the_paper_s_table_is_that_of_its_readme():
    means = [sum(scores.values()) / 5 for scores in ner_tables.PAPER.values()]
    assert [round(mean, 2) for mean in means] == [85.52, 85.71, 86.15, 86.67]
    assert ner_tables.PAPER["v0.4"]["NCBI-disease"] == 89.54
    assert "86.67" in ner_tables.paper_table() and "seqeval" not in ner_tables.paper_table()
    assert "not found" in ner_tables.protocol_table()


def test_a_cell_is_mean_spread_and_seeds_and_models_are_in_order(rows):
    html = text(ner_tables.f1_table())
    lines = re.findall(r"<tr><td>(.*?)</td>(.*?)</tr>", html)
    assert [model for model, _ in lines] == ["old", "v0.4", "minilm"]
    assert "51.00 ± 1.41 (2)" in lines[0][1] and "12.00 (1)" in lines[0][1]
    assert "60.00 (1)" in lines[1][1] and lines[1][1].count("–") == 6
    assert "<th class=n>mine</th>" in html and "cpu: &lt;one&gt;" in html


def test_the_mean_of_sets_is_one_of_pre_trainings_that_have_all():
    def row(seed, f1):
        return {"experiment": "ner-table", "seed": seed, "metrics": {"f1": f1}}

    sets = {name: [row(1000, 60.0 + n), row(1001, 62.0 + n), row(2000, 70.0 + n)]
            for n, name in enumerate(ner_tables.SETS)}  # fmt: skip
    assert ner_tables.mean_of_sets(sets) == "67.50 ± 6.36 (2)"  # of 63.0 and 72.0
    sets["JNLPBA"] = sets["JNLPBA"][:2]
    assert ner_tables.mean_of_sets(sets) == "63.00 (1)"
    assert ner_tables.mean_of_sets({**sets, "JNLPBA": []}) == "–"


def test_differences_of_a_set(rows):
    html = text(ner_tables.differences("BC2GM"))
    assert "v0.4 − old: +9.0, +7.0 to +11.0" in html and "<td class=n>0.002</td>" in html
    assert "No model has been set beside the old one on JNLPBA" in ner_tables.differences("JNLPBA")


def test_nothing_yet(monkeypatch):
    def none(_):
        raise FileNotFoundError

    monkeypatch.setattr(evidence.ledger, "read", none)
    for table in (ner_tables.f1_table(), ner_tables.differences("BC2GM")):
        assert "bioptimus experiment ner-table" in table


