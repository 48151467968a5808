"""Figures of the masking chapter."""

from __future__ import annotations

import pytest

from bioptimus_lib import chapter, plots_masking
from bioptimus_lib.pictures import Cell
from tests.conftest import sound_svg

CELLS = [
    Cell("the", "the", False), Cell("bro", "[MASK]", True), Cell("##nch", "##x", True),
    Cell("fell", "fell", True),
]  # fmt: skip
PHASES = {"v0.1": {"loss": [3.0, 3.2], "accuracy": [0.4, 0.5]},
          "v0.2": {"loss": [4.0], "accuracy": [0.3]}}  # fmt: skip
FIGURES = {
    "grid": lambda: plots_masking.mask_grid(
        {"rate 15%": {"words": CELLS, "tokens": CELLS}, "rate 20%": {"words": CELLS}}
    ),
    "shares": lambda: plots_masking.shares(
        {"coin": [0.0, 0.1, 0.3, 0.15], "budget": [0.15, 0.14]}, rate=0.15
    ),
    "leaks": lambda: plots_masking.leaks(
        {"v0.1": {2: 0.9, 3: 1.0}, "v0.4": {2: 0.0}}, {"v0.1": {2: 0.87, 3: 0.98}, "v0.4": {2: 0.0}}
    ),
    "difficulties": lambda: plots_masking.difficulties({"old": PHASES, "new": PHASES}),
    "ladder": lambda: plots_masking.ladder({"a": [1.0, 1.2], "b": [-0.1]}, title="Steps"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_sound_svg_and_the_same_each_time(name):
    assert len(sound_svg(FIGURES[name])) < 300_000


def test_the_grid_has_a_box_for_each_piece_and_a_mark_for_what_is_not_hidden():
    first, second = FIGURES["grid"]().axes
    assert len(first.patches) == 8 and len(second.patches) == 4
    assert [text.get_text() for text in second.texts] == ["×", "●"]
    fills = [patch.get_facecolor() for patch in second.patches]
    assert len(set(fills)) == 4
    the, bro, inside, fell = (patch.get_x() for patch in second.patches)
    assert bro - the > inside - bro < fell - inside, "pieces of a word touch"


def test_shares_are_per_cent_of_rows_and_say_how_many_ask_nothing():
    axes = FIGURES["shares"]().axes
    assert sum(bar.get_height() for bar in axes[0].patches) == pytest.approx(100)
    assert axes[0].get_title().startswith("coin: 25.0%") or "25.0%" in axes[0].get_title("left")


def test_leaks_are_marks_on_lines():
    axes = FIGURES["leaks"]().axes[0]
    line, marks, *_ = axes.lines
    assert list(line.get_ydata()) == pytest.approx([87, 98]) and line.get_marker() == "None"
    assert list(marks.get_ydata()) == pytest.approx([90, 100]) and marks.get_marker() == "o"


def test_difficulties_are_means_with_bars_from_least_to_most():
    loss, accuracy = FIGURES["difficulties"]().axes
    assert list(loss.lines[0].get_ydata()) == pytest.approx([3.1, 4.0])
    assert list(accuracy.lines[0].get_ydata()) == pytest.approx([45, 30])
    assert loss.collections[0].get_segments()[0][:, 1].tolist() == [3.0, 3.2]
    assert loss.lines[0].get_marker() != loss.lines[1].get_marker()


def test_what_makes_it_harder_differs_by_more_than_colour():
    bars = FIGURES["ladder"]().axes[0].patches
    assert bars[0].get_hatch() and not bars[1].get_hatch()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plots_masking.mask_grid({}), "texts of \\[\\] pieces"),
        (lambda: plots_masking.mask_grid({"a": {"b": CELLS, "c": CELLS[:2]}}), r"\[2, 4\]"),
        (lambda: plots_masking.shares({"a": []}, rate=0.1), "share of one row"),
        (lambda: plots_masking.leaks({"a": {2: 0.1}}, {"b": {2: 0.1}}), "give the same"),
        (lambda: plots_masking.difficulties({"a": PHASES, "b": {}}), "same phases"),
        (lambda: plots_masking.ladder({"a": []}, title=""), "a difference"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_chapters_modules_are_leaves():
    assert {"plots_masking", "masking_steps"} <= set(chapter.LEAVES)
