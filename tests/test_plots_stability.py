"""Figures of stable fine-tuning: sound SVG, and what they show is what they were given."""

from __future__ import annotations

import numpy as np
import pytest

from bioptimus_lib import plots_stability
from bioptimus_lib.plots import PAGE
from bioptimus_lib.stats import Interval, summary
from tests.conftest import sound_svg

F1 = {"plain": [52.0, 60.0, 3.0, 58.0, 55.0], "freeze 2": [61.0, 62.0, 60.5, 61.5, 59.0]}
GAINS = {
    "50 sentences": {"freeze": summary([3.0, 4.0, 5.0]), "decay": summary([-4.0, 0.0, 4.5])},
    "500 sentences": {"decay": summary([0.1, 0.2, 0.0])},
}
FIGURES = {
    "seeds": lambda: plots_stability.seeds(F1, floors={"plain": 3.0}),
    "paths": lambda: plots_stability.paths({"3 epochs": [[1, 5, 4], [0, 0, 0]]}, floor=2.0),
    "rates": lambda: plots_stability.rates({"plain": [1] * 6, "0.5": [0, 0.06, 0.1, 0.2, 0.5, 1]}),
    "learning": lambda: plots_stability.learning(
        {"embeddings": 2_000_000, "layer 1": 700_000, "head": 2000}, {"plain": 0, "freeze 1": 2}
    ),
    "gains": lambda: plots_stability.gains(GAINS),
    "spreads": lambda: plots_stability.gains(
        {"": {"freeze": Interval(0.4, 0.2, 0.8, 0.95)}}, zero=1.0, xlabel="ratio"
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_sound_svg_and_the_same_each_time(name):
    assert len(sound_svg(FIGURES[name])) < 300_000


def test_a_mark_per_seed_and_failed_ones_are_crosses():
    axes = FIGURES["seeds"]().axes[0]
    by_marker = {}
    for line in axes.lines:
        if line.get_marker() in ("o", "X"):
            by_marker.setdefault(line.get_marker(), []).append(sorted(line.get_xdata()))
    assert by_marker["o"] == [[52.0, 55.0, 58.0, 60.0], sorted(F1["freeze 2"])]
    assert by_marker["X"] == [[3.0], []]
    assert [text.get_text() for text in axes.texts] == ["45.6 ± 24.0", "60.8 ± 1.2"]
    assert len(axes.collections) == 2  # a violin each


def test_one_seed_or_no_spread_has_no_violin():
    axes = plots_stability.seeds({"one": [50.0], "same": [50.0] * 4}).axes[0]
    assert not axes.collections and [t.get_text() for t in axes.texts] == ["50.0", "50.0 ± 0.0"]


def test_the_chosen_epoch_is_marked():
    (axes,) = FIGURES["paths"]().axes
    marks = [line for line in axes.lines if line.get_marker() == "o"]
    assert [(m.get_xdata()[0], m.get_ydata()[0]) for m in marks] == [(2, 5), (1, 0)]


def test_rates_stand_over_their_levels():
    axes = FIGURES["rates"]().axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["emb.", "1", "2", "3", "4", "head"]
    assert list(axes.lines[1].get_ydata()) == [0, 0.06, 0.1, 0.2, 0.5, 1]


def test_what_is_frozen_is_hatched_and_the_rest_is_told():
    axes = FIGURES["learning"]().axes[0]
    assert [bool(bar.get_hatch()) for bar in axes.patches] == [False] * 3 + [True, True, False]
    assert sum(bar.get_width() for bar in axes.patches[:3]) == pytest.approx(2.702)
    assert [t.get_text().strip() for t in axes.texts if "%" in t.get_text()] == ["100%", "0%"]


def test_a_gain_is_filled_if_its_interval_leaves_zero_out():
    axes = FIGURES["gains"]().axes[0]
    marks = [
        line for line in axes.lines if line.get_marker() in ("o", "s") and len(line.get_xdata())
    ]
    assert [mark.get_markerfacecolor() == PAGE for mark in marks] == [False, True, True]
    assert [float(mark.get_xdata()[0]) for mark in marks] == pytest.approx([4.0, 1 / 6, 0.1])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["freeze", "decay"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: plots_stability.seeds({}),
        lambda: plots_stability.seeds({"a": []}),
        lambda: plots_stability.paths({}),
        lambda: plots_stability.paths({"a": []}),
        lambda: plots_stability.paths(dict.fromkeys("abcd", [[1.0]])),
        lambda: plots_stability.rates({}),
        lambda: plots_stability.rates({"a": [1.0, 1.0, 1.0], "b": [1.0, 1.0]}),
        lambda: plots_stability.learning({}, {"a": 0}),
        lambda: plots_stability.learning({"a": 1}, {}),
        lambda: plots_stability.gains({}),
        lambda: plots_stability.gains({str(n): {"a": summary(np.arange(3))} for n in range(7)}),
    ],
    ids=range(11),
)
def test_nothing_to_draw_is_an_error(call):
    with pytest.raises(ValueError):
        call()
