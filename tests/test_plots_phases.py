"""Figures and tables of the phase chapters."""

from __future__ import annotations

import re

import numpy as np
import pytest

from bioptimus_lib import chapter, plots_phases
from bioptimus_lib.looks import Drift, Filled, Gap, Tally
from tests.conftest import sound_svg

LOG = {"step": [1, 2, 3], "loss": [9.0, 7.0, 5.0], "grad_norm": [1.0, 3.0, 2.0],
       "learning_rate": [0.0, 1e-3, 5e-4]}  # fmt: skip
TABLE = {
    "entity": {"never": Tally(0, 3), "1 to 10": Tally(2, 20), "over 10": Tally(30, 40)},
    "function": {"never": Tally(0, 0), "1 to 10": Tally(0, 0), "over 10": Tally(90, 100)},
    "other": {"never": Tally(0, 7), "1 to 10": Tally(1, 2), "over 10": Tally(0, 5)},
}
MOVED = Drift(np.array([0.9, 1.0, 0.8]), np.array([2.0, 1.0, 4.0]), np.array([4.0, 1.0, 4.0]),
              np.array([0.5, 0.0, 0.6]))  # fmt: skip
FIGURES = {
    "training": lambda: plots_phases.training(
        {"with": LOG, "without": LOG}, parts=("loss", "grad_norm", "learning_rate")
    ),
    "dots": lambda: plots_phases.dots(
        {"v0.1": {"tokens": [2.0, 3.0], "words": 4.0}, "v0.2": {"tokens": 1.0, "words": 2.0}},
        xlabel="loss", title="Two versions",
    ),
    "one series": lambda: plots_phases.dots({"v0.1": {"a": 2.0, "b": 3.0}}, xlabel="", title=""),
    "bands": lambda: plots_phases.bands({"before": TABLE, "after": TABLE}),
    "drifts": lambda: plots_phases.drifts({"new": MOVED, "shared": MOVED}),
    "by frequency": lambda: plots_phases.by_frequency(
        {"new": (range(100), np.linspace(0, 1, 100)), "shared": ([3] * 20, [0.5] * 20)},
        ylabel="moved", title="Moved",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_sound_svg_and_the_same_each_time(name):
    assert len(sound_svg(FIGURES[name])) < 300_000


def test_training_has_a_panel_for_each_part_and_a_look_for_each_run():
    figure = FIGURES["training"]()
    assert len(figure.axes) == 3
    one, other = figure.axes[1].lines
    assert list(one.get_ydata()) == LOG["grad_norm"] and one.get_marker() != other.get_marker()
    smooth = plots_phases.training({"a": LOG}, parts=("loss",), window=3).axes[0].lines[0]
    assert list(smooth.get_ydata()) == [9.0, 7.0, 5.0]


def test_dots_are_means_with_open_marks_for_several_values():
    lines = FIGURES["dots"]().axes[0].lines
    assert list(lines[0].get_xdata()) == [2.0, 3.0] and lines[0].get_markerfacecolor() == "#ffffff"
    assert list(lines[1].get_xdata()) == [2.5, 4.0]
    assert lines[1].get_marker() != lines[2].get_marker()
    texts = [text.get_text() for text in FIGURES["one series"]().axes[0].texts]
    assert texts == ["2.00", "3.00"]


def test_bands_leave_out_what_too_few_words_say():
    figure = FIGURES["bands"]()
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title("left") for axes in shown] == ["entity (63)", "function (100)"]
    before, after = shown[0].lines
    assert list(before.get_xdata()) == [1, 2] and list(before.get_ydata()) == [10.0, 75.0]
    assert list(shown[1].lines[0].get_xdata()) == [2]
    bar = shown[0].collections[0].get_segments()[1][:, 1]
    assert bar.tolist() == pytest.approx([75 - 100 * Tally(30, 40).error,
                                          75 + 100 * Tally(30, 40).error])  # fmt: skip
    assert before.get_marker() != after.get_marker()


def test_drifts_show_medians():
    left, right = FIGURES["drifts"]().axes
    assert [text.get_text() for text in left.texts] == ["0.900", "0.900"]
    assert [text.get_text() for text in right.texts] == ["1.000", "1.000"]


def test_by_frequency_draws_medians_of_full_bins():
    axes = FIGURES["by frequency"]().axes[0]
    assert list(axes.lines[1].get_ydata()) == [0.5]
    assert (np.diff(axes.lines[0].get_ydata()) > 0).all()


def test_filled_gaps_mark_what_is_right_and_escape():
    text = plots_phases.filled_gaps(
        [Gap("<p> has [MASK].", "asthma")],
        [{"v0.1": Filled([("asthma", 0.5), ("pain", 0.013)], 0.5),
          "old": Filled([("as ##th ##ma", 1e-6)], 1e-6)}],
    )  # fmt: skip
    assert "&lt;p&gt; has" in text
    guesses = re.findall(r'"p">(.*?)</span></span> <small>(.*?)</small>', text)
    assert guesses == [("<b>asthma ✓</b>", "50%"), ("pain", "1.3%"),
                       ("<b>as ##th ##ma ✓</b>", "1·10<sup>−4</sup>%")]  # fmt: skip
    assert "<mark>asthma</mark>" in text


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plots_phases.training({}), "0 trainings"),
        (lambda: plots_phases.training({"a": LOG}, parts=("speed",)), "'speed' is unknown"),
        (lambda: plots_phases.dots({}, xlabel="", title=""), "1 to 6 series"),
        (lambda: plots_phases.dots({"a": {"x": 1}, "b": {"y": 1}}, xlabel="", title=""), "same"),
        (lambda: plots_phases.bands({}), "0 versions"),
        (lambda: plots_phases.bands({"a": {"other": TABLE["other"]}}), "give more blocks"),
        (lambda: plots_phases.drifts({}), "no rows"),
        (lambda: plots_phases.by_frequency({"a": ([], [])}, ylabel="", title=""), "none of them"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_looks_do_not_make_a_run_anew():
    names = {"plots_phases", "looks", "guessing", "word_guesses", "trials"}
    assert names <= set(chapter.LEAVES)
