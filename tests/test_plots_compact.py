"""Figures of compact models: sound SVG, and what they show is what they were given."""

from __future__ import annotations

import numpy as np
import pytest

from bioptimus_lib import plots_compact
from bioptimus_lib.plots_compact import COSTS, Model
from tests.conftest import sound_svg

BARS = {"T = 1": [("pain", 0.9), ("fever", 0.05)], "T = 4": [("pain", 0.4), ("fever", 0.2)]}
MAP = np.full((3, 3), 1 / 3)
GRID = np.array([[0.0, 0.4, 0.5], [0.3, 0.2, 0.6]])
MODELS = {
    "teacher": Model([70.0, 72.0], 5e6, {1: 8.0, 32: 160.0}, 21.0),
    "half": Model([69.0], 3e6, {1: 4.0, 32: 80.0}, 14.0),
}
SMALL = {"half": Model([68.0], 3e6, {1: 3.0, 32: 40.0}, 10.0)}
FIGURES = {
    "softened": lambda: plots_compact.softened(BARS),
    "attention": lambda: plots_compact.attention({"a": MAP, "b": np.eye(3)}, ["x", "y", "z"]),
    "layer_grid": lambda: plots_compact.layer_grid({"before": GRID}, mapped=[(0, 1)]),
    "trade_off": lambda: plots_compact.trade_off(MODELS, small=SMALL),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_sound_svg_and_the_same_each_time(name):
    assert len(sound_svg(FIGURES[name])) < 300_000


def test_a_bar_for_each_piece_with_its_probability():
    first, second = FIGURES["softened"]().axes
    assert [bar.get_width() for bar in first.patches] == [0.9, 0.05]
    assert [text.get_text() for text in second.texts] == ["40.0%", "20.0%"]
    assert [text.get_text() for text in first.get_yticklabels()] == ["pain", "fever"]


def test_compared_layers_are_framed_one_below_the_embeddings():
    (axes,) = FIGURES["layer_grid"]().axes
    (frame,) = axes.patches
    middle = frame.get_x() + frame.get_width() / 2, frame.get_y() + frame.get_height() / 2
    assert middle == pytest.approx((2, 1))  # layer 1 of the teacher is the third column
    assert [text.get_text() for text in axes.texts] == [f"{x:.2f}" for x in GRID.flat]


def test_each_panel_has_each_model_at_its_cost_and_mean():
    axes = FIGURES["trade_off"]().axes
    assert [place.get_xlabel() for place in axes] == list(COSTS)
    for place, cost in zip(axes, COSTS.values(), strict=True):
        marks = {
            (float(line.get_xdata()[0]), float(line.get_ydata()[0]), line.get_marker())
            for line in place.lines if line.get_marker() in "os" and len(line.get_xdata()) == 1
        }  # fmt: skip
        assert marks == {
            (cost(MODELS["teacher"]), 71.0, "o"), (cost(MODELS["half"]), 69.0, "o"),
            (cost(SMALL["half"]), 68.0, "s"),
        }  # fmt: skip
        assert [text.get_text() for text in place.texts] == ["1", "2"]


def test_a_number_stands_beside_its_own_mark_and_on_no_other():
    alike = {str(n): Model([60.0 + n % 2], 1e6 * (1 + n // 6), {1: 5.0, 32: 90.0}, 9.0)
             for n in range(8)}  # fmt: skip
    figure = plots_compact.trade_off(alike | MODELS, small=SMALL)
    figure.draw_without_rendering()
    for place in figure.axes:
        marks = [
            place.transData.transform((line.get_xdata()[0], line.get_ydata()[0]))
            for line in place.lines if len(line.get_xdata()) == 1
        ]  # fmt: skip
        for text in place.texts:
            spot = text.get_window_extent().get_points().mean(axis=0)
            own = place.transData.transform(text.xy)
            assert 5 < 72 / figure.dpi * np.linalg.norm(spot - own) < 12
            assert min(np.linalg.norm(spot - mark) for mark in marks) * 72 / figure.dpi > 5
            assert place.bbox.contains(*spot)


@pytest.mark.parametrize(
    "call",
    [
        lambda: plots_compact.softened({}),
        lambda: plots_compact.softened({"a": [("x", 0.1)], "b": [("y", 0.1)]}),
        lambda: plots_compact.attention({}, ["x"]),
        lambda: plots_compact.attention({"a": MAP}, ["x"]),
        lambda: plots_compact.attention({"a": np.eye(40)}, ["x"] * 40),
        lambda: plots_compact.layer_grid({}),
        lambda: plots_compact.layer_grid({"a": GRID, "b": GRID[:1]}),
        lambda: plots_compact.trade_off({}),
        lambda: plots_compact.trade_off({"half": MODELS["half"]}, small={"other": SMALL["half"]}),
    ],
    ids=range(9),
)
def test_nothing_to_draw_is_an_error(call):
    with pytest.raises(ValueError):
        call()
