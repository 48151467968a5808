"""Figures of the last two phases: sound SVG, and what they show is what they were given."""

from __future__ import annotations

import numpy as np
import pytest

from bioptimus_lib import plots_rates
from tests.conftest import sound_svg

LOSSES = {"15%": {"15%": 2.0, "40%": 3.1}, "40%": {"15%": 2.01, "40%": 2.5}}
CHANCES = np.random.default_rng(0).random(200)
PARTS = {"v0.3": {"[MASK]": (3.0, 0.8), "another piece": (5.0, 0.1), "itself": (0.5, 0.1)},
         "v0.4": {"[MASK]": (3.2, 1.0)}}  # fmt: skip
FIGURES = {
    "heat map": lambda: plots_rates.heat_map(
        LOSSES, xlabel="asked at", ylabel="trained at", title="Losses", noise=0.05,
        own={"15%": "15%", "40%": "40%"},
    ),
    "doubt": lambda: plots_rates.doubt({"v0.3": (CHANCES, CHANCES**9), "v0.4": (CHANCES, [0.0])}),
    "parts": lambda: plots_rates.parts_of_loss(PARTS),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_sound_svg_and_the_same_each_time(name):
    assert len(sound_svg(FIGURES[name])) < 300_000


def test_the_least_of_a_column_has_a_full_dot_and_what_is_near_an_open_one():
    said = [text.get_text() for text in FIGURES["heat map"]().axes[0].texts]
    assert said == ["2.00 ●", "3.10", "2.01 ○", "2.50 ●"]


def test_colour_is_the_distance_to_the_least_of_the_column():
    image = FIGURES["heat map"]().axes[0].images[0].get_array()
    assert np.asarray(image) == pytest.approx(np.array([[0, 0.6], [0.01, 0]]))


def test_bars_are_losses_times_shares():
    axes = FIGURES["parts"]().axes[0]
    assert [bar.get_width() for bar in axes.patches][:3] == pytest.approx([2.4, 0.5, 0.05])
    assert [text.get_text().strip() for text in axes.texts] == ["2.95", "3.20"]


def test_lines_of_doubt_are_shares_of_places_with_at_most_so_much():
    right, wrong = FIGURES["doubt"]().axes[1].lines
    powers, shares = right.get_data()
    assert shares[-1] == 1 and (np.diff(shares) >= 0).all()
    assert shares[-2] == pytest.approx((CHANCES <= 10 ** powers[-2]).mean())
    assert set(wrong.get_ydata()) == {1.0}  # nothing given at all stands at the left edge


@pytest.mark.parametrize(
    "call",
    [
        lambda: plots_rates.heat_map({}, xlabel="", ylabel="", title=""),
        lambda: plots_rates.heat_map({"a": {"x": 1}, "b": {"y": 1}}, xlabel="", ylabel="",
                                     title=""),
        lambda: plots_rates.doubt({}),
        lambda: plots_rates.doubt(dict.fromkeys("abcd", ([0.5], [0.5]))),
        lambda: plots_rates.parts_of_loss({}),
    ],
    ids=range(5),
)  # fmt: skip
def test_nothing_to_draw_is_an_error(call):
    with pytest.raises(ValueError):
        call()
