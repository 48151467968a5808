"""Figures, tables and the widget of the distillation chapter."""

from __future__ import annotations

from html import unescape

import numpy as np
import pytest

from bioptimus_lib import chapter, evidence, ledger, plots_distill, widgets_distill
from tests.conftest import sound_svg

POINTS = np.random.default_rng(0).normal(size=(12, 2))
KINDS = ["drug", "gene", "drug"] * 4
FIGURES = {
    "means": lambda: plots_distill.mean_of_means(
        {"bron": [1.0, -2.0, 0.5], "##cho": [3.0, 0.0, 0.5]}, [[2.0, -1.0, 0.5], [0.0, 1.0, 0.5]]
    ),
    "curves": lambda: plots_distill.curves(
        {"plain": {1: [0.1, 0.3], 10: [0.4]}, "centred": {1: [0.2], 10: [0.5]}},
        xlabel="contexts", ylabel="MRR", title="Recovery", log=True,
    ),
    "strategies": lambda: plots_distill.by_strategy(
        {"MRR": {"random": [0.0, 0.1], "mean": [0.3]}, "cos": {"random": [0.0], "mean": [0.9]}},
        chance={"MRR": 0.01}, title="Two",
    ),
    "norms": lambda: plots_distill.norms(
        {"true": [1.0, 1.1], "layer 1": [5.0, 6.0, 7.0]}, reference="true", title="Norms"
    ),
    "maps": lambda: plots_distill.class_maps(
        {"a": POINTS, "b": -POINTS}, KINDS, marked=3, label="word"
    ),
    "bias": lambda: plots_distill.bias_line([1, 10, 100], [-9.0, -8.0, -7.0], {1: -9.0, 100: -7}),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_sound_svg_and_the_same_each_time(name):
    assert len(sound_svg(FIGURES[name])) < 300_000


def test_means_of_means_are_what_the_panels_show():
    h, f, g = (axes.images[0].get_array() for axes in FIGURES["means"]().axes[:3])
    assert np.allclose(np.asarray(h).mean(0), np.asarray(f)[0])
    assert np.allclose(np.asarray(f).mean(0), np.asarray(g)[0])


def test_curves_are_means_with_bars_where_there_are_several_values():
    axes = FIGURES["curves"]().axes[0]
    assert list(axes.lines[0].get_ydata()) == pytest.approx([0.2, 0.4])
    (bar,) = axes.collections
    assert bar.get_segments()[0][:, 1].tolist() == [0.1, 0.3]
    assert axes.get_xscale() == "log" and axes.lines[0].get_marker() != axes.lines[1].get_marker()


def test_classes_differ_by_marker_and_each_point_is_drawn_once():
    figure = FIGURES["maps"]()
    drugs, genes, star = figure.axes[0].lines
    assert len(drugs.get_xdata()) == 8 and len(genes.get_xdata()) == 4
    assert drugs.get_marker() != genes.get_marker() and star.get_marker() == "*"
    assert star.get_xdata()[0] == POINTS[3, 0]


def test_norms_show_median_and_the_band_of_the_reference():
    axes = FIGURES["norms"]().axes[0]
    assert [text.get_text() for text in axes.texts][1] == "6"
    assert axes.lines[3].get_xdata()[0] == 6.0


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plots_distill.sentence_pieces([["a"]], 1), "word 1 of a sentence of 1"),
        (lambda: plots_distill.mean_of_means({}, [[1.0]]), "needs a piece"),
        (lambda: plots_distill.curves({}, xlabel="", ylabel="", title=""), "0 series"),
        (lambda: plots_distill.by_strategy({}), "one panel or several"),
        (lambda: plots_distill.by_strategy({"a": {"x": [1]}, "b": {"y": [1]}}), "same strategies"),
        (lambda: plots_distill.norms({"a": [1.0]}, reference="b", title=""), "'b' among them"),
        (lambda: plots_distill.class_maps({"a": POINTS}, KINDS[:3]), "2 classes of 3"),
        (lambda: plots_distill.bias_line([1], [1.0], {1: 0.0}), "two points"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_sentence_sets_off_one_word_and_escapes():
    html = plots_distill.sentence_pieces([["<b>"], ["bron", "##cho"]], 1)
    assert html.count('class="p kept"') == 2 and html.count('class="p"') == 1
    assert "&lt;b&gt;" in html


# -- the ledger ----------------------------------------------------------------------------------


def test_metrics_of_the_ledger_are_means_over_seeds_by_model_and_variant(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path)
    for name in ("recovery", "layers", "contexts", "start"):
        assert "holds no rows" in evidence.metrics_table(name)
        assert evidence.COMMANDS[name] in evidence.metrics_table(name)
    row = {"dataset": "biomed", "profile": "any", "device": "CPU <2>", "command": "bioptimus x",
           "versions": {}, "data": {}, "commit": None}  # fmt: skip
    ledger.append("recovery", [
        {**row, "model": model, "seed": seed, "variant": "minilm", "metrics": metrics}
        for model, seed, metrics in (
            ("calibrated", 0, {"mrr": 0.5, "top1": 0.25}), ("calibrated", 1, {"mrr": 0.6}),
            ("random", 0, {"mrr": 0.0, "top1": 0.0}),
        )
    ], folder=tmp_path)  # fmt: skip
    html = evidence.metrics_table("recovery", {"MRR": "mrr", "top-1": "top1", "no": "none"})
    assert "0.55 ± 0.07" in html and ">0.25<" in html and ">–<" in html
    assert html.index(">calibrated<") < html.index(">random<")
    assert html.count("bioptimus x") == 1 and "CPU &lt;2&gt;" in html
    assert ">mrr<" in evidence.metrics_table("recovery")  # the one metric that all rows share
    assert "top1" not in evidence.metrics_table("recovery")
    assert ">random<" not in evidence.metrics_table("recovery", keep=lambda r: r["seed"] == 1)
    some = {**row, "model": "empty", "seed": 0, "variant": "minilm", "metrics": {"other": 1.0}}
    ledger.append("recovery", some, folder=tmp_path)
    assert ">empty<" not in evidence.metrics_table("recovery", {"MRR": "mrr"}), "nothing to show"
    assert ">empty<" in evidence.metrics_table("recovery", {"other": "other"})


# -- the widget ----------------------------------------------------------------------------------

NAMES = ["statin", "zinc", "brca1"]
TABLES = {"mean": np.array([[1.0, 0.0], [0.9, 0.1], [-1.0, 0.0]])}
CLASSES = {"statin": "drug", "zinc": "drug", "brca1": "gene"}


def test_neighbours_are_the_nearest_without_the_common_mean():
    found = widgets_distill.neighbour_panels(TABLES, NAMES, "statin", n=2)
    assert [name for name, _ in found["mean"]] == ["zinc", "brca1"]
    shifted = {"mean": TABLES["mean"] + 100}
    again = widgets_distill.neighbour_panels(shifted, NAMES, "statin", n=2)
    assert again["mean"][0][1] == pytest.approx(found["mean"][0][1])
    with pytest.raises(ValueError, match="no row here"):
        widgets_distill.neighbour_panels(TABLES, NAMES, "none")


def test_twin_says_in_words_what_it_shows():
    html = unescape(
        widgets_distill.neighbours_picture(TABLES, NAMES, "statin", classes=CLASSES, n=1)
    )
    assert "statin (drug)" in html and "mean: zinc." in html


def test_browser_follows_its_controls(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda html: shown.append(unescape(html.data)))
    browser = widgets_distill.neighbours_browser(
        TABLES, NAMES, classes=CLASSES, words=["statin", "brca1"]
    )
    controls = {w.description: w for w in browser.children if hasattr(w, "description")}
    assert list(controls) == ["word", "neighbours"]
    controls["word"].value = "brca1"
    assert "brca1 (gene)" in shown[-1]
    controls["neighbours"].value = 1
    assert "mean: zinc." in shown[-1]
    with pytest.raises(ValueError, match="no words"):
        widgets_distill.neighbours_browser(TABLES, NAMES, classes=CLASSES, words=[])


def test_new_modules_are_leaves():
    assert {"plots_distill", "widgets_distill", "distill_steps"} <= set(chapter.LEAVES)
