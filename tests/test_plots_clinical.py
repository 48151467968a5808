"""Figures of clinical notes: sound SVG, and what they show is what they were given."""

from __future__ import annotations

import pytest

from bioptimus_lib import plots_clinical
from tests.conftest import sound_svg

SHARES = {"window 128": {"history": 0.2, "plan": 1.0}, "window 512": {"history": 0.0, "plan": 0.3}}
SIZES = {"one": {"pieces": 9_000_000, "layers": 0, "rest": 1}, "two": {"pieces": 5, "layers": 7}}
POINTS = {"read": {0: [1.0, 3.0], 16: [9.0]}, "never read": {0: [0.5], 16: [1.2]}}
FIGURES = {
    "lost": lambda: plots_clinical.lost(SHARES, title="lost"),
    "sizes": lambda: plots_clinical.sizes(SIZES, published={"one": 18, "two": None}),
    "exposures": lambda: plots_clinical.exposures(POINTS, most=14.2, chance=1.44),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_sound_svg_and_the_same_each_time(name):
    assert len(sound_svg(FIGURES[name])) < 300_000


def test_bars_and_marks_are_the_numbers():
    axes = FIGURES["lost"]().axes[0]
    assert sorted(round(p.get_width()) for p in axes.patches) == [0, 20, 30, 100]
    axes = FIGURES["sizes"]().axes[0]
    assert [t.get_text().strip() for t in axes.texts] == ["9.0", "0.0"]
    assert [list(line.get_xdata()) for line in axes.lines] == [[18]]
    axes = FIGURES["exposures"]().axes[0]
    means = [list(line.get_ydata()) for line in axes.lines if line.get_label() in POINTS]
    assert means == [[2.0, 9.0], [0.5, 1.2]]


@pytest.mark.parametrize("draw", [
    lambda: plots_clinical.lost({}, title=""), lambda: plots_clinical.sizes({}, published={}),
    lambda: plots_clinical.exposures({}, most=1, chance=1),
])  # fmt: skip
def test_nothing_to_draw_is_an_error(draw):
    with pytest.raises(ValueError, match="give"):
        draw()


def test_a_note_is_shown_with_sections_and_escaped():
    text = "Seen by [**Name (NI) 1**]\nHPI: p < 0.05 & <b>\nPLAN: rest"
    shown = plots_clinical.note_html(text)
    assert "<h3>beginning</h3>" in shown and "<h3>history</h3>" in shown
    assert "<mark>[**Name (NI) 1**]</mark>" in shown
    assert "p &lt; 0.05 &amp; &lt;b&gt;" in shown and "<b>PLAN:</b>" in shown
