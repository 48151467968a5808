"""Figures of the ledger: means, spread, and a panel where there is nothing yet."""

from __future__ import annotations

import re

import numpy as np
import pytest
from conftest import sound_svg

from bioptimus_lib import evidence, ledger, plots_ledger


def row(model: str, seed: int, value: float) -> dict:
    return {
        "model": model, "dataset": "made", "profile": "any", "seed": seed, "variant": f"v{seed}",
        "metrics": {"mrr": value}, "command": "bioptimus experiment made", "device": "cpu",
        "curve": [[0, value + 2], [10, value]],
    }  # fmt: skip


@pytest.fixture
def rows(monkeypatch):
    found = [row("one", 0, 1.0), row("one", 1, 3.0), row("two", 0, 4.0), row("<three>", 0, 9.0)]
    monkeypatch.setattr(ledger, "read", lambda experiment: found)
    return found


def alt(html: str) -> str:
    return re.search(r'alt="([^"]*)"', html).group(1)


def test_a_mark_per_row_and_one_at_the_mean():
    def draw():
        return plots_ledger.dots({"high": [5.0], "low": [1.0, 3.0]}, title="T", xlabel="x")

    sound_svg(draw)
    axes = draw().axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["low", "high"]
    marks = [line.get_xdata() for line in axes.lines if line.get_marker() == "o"]
    assert [np.asarray(some).tolist() for some in marks] == [[1.0, 3.0], [2.0], [5.0], [5.0]]
    assert [text.get_text() for text in axes.texts] == ["2", "5"]
    with pytest.raises(ValueError, match="no values"):
        plots_ledger.dots({"none": []}, title="T", xlabel="x")


def test_seeds_say_mean_and_spread(rows):
    html = plots_ledger.seeds("made", "mrr", title="Recovery", xlabel="rank", table="<b>all</b>")
    assert alt(html) == "Recovery: rank. one 2 ± 1.4; two 4; &lt;three&gt; 9."
    assert "<summary>The numbers, and the command</summary><b>all</b>" in html
    few = plots_ledger.seeds(
        "made", "mrr", title="R", xlabel="r", keep=lambda r: r["seed"] == 1, label=lambda r: "x"
    )
    assert alt(few) == "R: r. x 3." and "summary" not in few


def test_lines_go_through_the_means(rows):
    html = plots_ledger.lines(
        "made", lambda r: r["curve"], title="Loss", xlabel="steps", ylabel="bits",
        keep=lambda r: r["model"] != "two",
    )  # fmt: skip
    assert alt(html).startswith("Loss: bits over steps. one: 4 at 0, 2 at 10; ")


def test_gaps_of_one_seed_and_of_models_that_have_no_other(monkeypatch):
    def filled(model, seed, guess):
        gap = {"text": "A <b> [MASK].", "answer": "word", "chance": 0.25, "best": [[guess, 0.5]]}
        return {**row(model, seed, 1.0), "gaps": [gap]}

    found = [filled("old", 0, "dog"), filled("v0.4", 0, "cat"), filled("v0.4", 1, "word")]
    monkeypatch.setattr(ledger, "read", lambda experiment: found)
    html = plots_ledger.gaps("made", seed=1)
    assert re.search(r"<td>old</td><td>.*>dog</span></span> <small>50%</small>", html)
    assert "<b>word ✓</b></span></span> <small>50%" in html and "cat" not in html
    assert "A &lt;b&gt; <mark>word</mark>." in html and "experiment made" in html
    monkeypatch.setattr(ledger, "read", lambda experiment: [row("old", 0, 1.0)])
    assert "no rows of <b>made</b>" in plots_ledger.gaps("made", seed=0)


def test_a_phase_says_what_each_pre_training_gained(monkeypatch):
    def scored(model, variant, seed, **metrics):
        made = {"experiment": "phases", "variant": variant, "metrics": metrics}
        return {**row(model, seed, 0.0), **made}

    found = [
        scored("v0.1", "pre-training", 0, loss=4.0), scored("v0.1", "pre-training", 2, loss=5.0),
        scored("v0.2", "pre-training", 2, loss=4.5), scored("v0.2", "pre-training", 1, loss=1.0),
        scored("v0.1", "fine-tuned", 1, f1=10.0), scored("v0.1", "fine-tuned", 2000, f1=60.0),
        scored("v0.2", "fine-tuned", 2000, f1=62.0), scored("v0.2", "fine-tuned", 2004, f1=64.0),
        scored("v0.3", "fine-tuned", 2000, f1=99.0),
    ]  # fmt: skip
    monkeypatch.setattr(ledger, "read", lambda experiment: found)
    html = plots_ledger.phase("v0.1", "v0.2")
    assert "v0.2 − v0.1, a number for each pre-training: loss -0.50; F1 +3.0." in html
    assert "<td>v0.2</td>" in html and "<td>v0.3</td>" not in html
    alone = plots_ledger.phase("v0.2", "v0.3")
    assert "F1 +36.0." in alone and "loss -" not in alone
    assert "for each" not in plots_ledger.phase("old", "v0.3")
    assert "no rows of <b>phases</b>" in plots_ledger.phase("old", "v0.4")


@pytest.mark.parametrize("draw", [
    lambda: plots_ledger.seeds("start", "mrr", title="T", xlabel="x"),
    lambda: plots_ledger.lines("start", lambda r: [], title="T", xlabel="x", ylabel="y"),
])  # fmt: skip
def test_nothing_yet(draw, monkeypatch):
    def none(experiment):
        raise FileNotFoundError(experiment)

    monkeypatch.setattr(ledger, "read", none)
    assert draw() == evidence.nothing_in("start") and "experiment start" in draw()


def test_what_chapter_09_says_of_the_gaps_is_what_the_ledger_holds():
    of = {
        row["model"]: {gap["answer"]: gap["chance"] for gap in row["gaps"]}
        for row in ledger.read("phases") if "gaps" in row and row["seed"] in (0, 1)
    }  # fmt: skip
    versions = [f"v0.{n}" for n in range(1, 5)]
    for word in ("study", "adverse"):
        assert min(of["v0.1"][word], of["continued"][word]) > 0.8
    for word in ("glucose", "pressure", "cholesterol"):
        assert max(versions, key=lambda name: of[name][word]) == "v0.4"
    assert 0.015 < of["v0.4"]["cholesterol"] < 0.025 and of["v0.4"]["corticosteroid"] < 0.001
    rises = [word for word, chance in of["v0.4"].items() if chance > of["v0.3"][word]]
    falls = [word for word, chance in of["v0.4"].items() if of["v0.3"][word] - chance > 0.03]
    assert len(of["v0.4"]) == 12 and len(rises) == 9 and len(falls) == 3
    assert [round(of[name]["difference"], 2) for name in ("v0.3", "v0.4")] == [0.43, 0.12]
