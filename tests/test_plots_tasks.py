"""Figures of tasks: sound SVG, they show what they were given, text from data is escaped."""

from __future__ import annotations

import pytest

from bioptimus_lib import plots_tasks
from bioptimus_lib.plots_tasks import Scatter
from bioptimus_lib.task_steps import Piece
from tests.conftest import sound_svg

LABELS = {"skin": {"f1": 20.0, "gold": 4.0}, "kidney": {"f1": 90.0, "gold": 1200.0}}
FIGURES = {
    "by label": lambda: plots_tasks.by_label(LABELS, micro=88.0, macro=55.0),
    "beside gold": lambda: plots_tasks.beside_gold(
        {"words": Scatter([0, 2, 4], [0.1, 0.15, 0.3], 96.0, one_unit=False),
         "flat": Scatter([0, 4], [2, 2], 0.0)},
        title="Similarity",
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_sound_svg_and_the_same_each_time(name):
    assert len(sound_svg(FIGURES[name])) < 200_000


def test_the_most_frequent_label_is_on_top_with_its_number():
    axes = FIGURES["by label"]().axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["kidney", "skin"]
    assert [bar.get_width() for bar in axes.patches] == [90.0, 20.0]
    assert [text.get_text() for text in axes.texts] == ["1,200", "4"]
    lines = {line.get_label(): line.get_linestyle() for line in axes.lines}
    assert lines == {"micro 88.0": "-", "macro 55.0": "--"}


def test_each_panel_says_its_correlation():
    figure = FIGURES["beside gold"]()
    assert [a.get_title(loc="left") for a in figure.axes] == ["words\nr = 0.96", "flat\nr = 0.00"]
    assert [len(a.lines) for a in figure.axes] == [1, 2]  # equality makes no sense in two units
    with pytest.raises(ValueError, match="give 1 to 4"):
        plots_tasks.beside_gold({}, title="")
    with pytest.raises(ValueError, match="no label"):
        plots_tasks.by_label({}, micro=0, macro=0)


def test_what_is_read():
    pieces = [Piece("[CLS]", 0), Piece("<", 0), Piece("code", 0), Piece("##ine", 0),
              Piece("<b>", 0), Piece("[SEP]", 0), Piece("gout", 1)]  # fmt: skip
    html = plots_tasks.reading({"a & b": pieces})
    assert html.count('class="p mask"') == 2 and html.count('class="p kept"') == 1
    assert "&lt;b&gt;" in html and "<b>" not in html and "a &amp; b" in html
    assert '<span class="p">code<small>1</small></span><span class="p">##ine' in html
    assert "gout<small>2</small>" in html and "7 pieces" in html
    assert "… 4 more" in plots_tasks.reading({"x": pieces}, most=3)
    assert 'class="p kept"' not in plots_tasks.reading({"x": pieces}, signs=False)
