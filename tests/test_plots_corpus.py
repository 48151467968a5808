"""Figures of the corpus chapter: what they draw and refuse; hidden characters are shown."""

from __future__ import annotations

import re

import pytest

from bioptimus_lib import plots_corpus, widgets
from bioptimus_lib.cleaning import STEPS, clean
from tests.conftest import sound_svg

YEARS = {year: {"": 40, "gene": 4 * n, "drug": 2} for n, year in enumerate(range(2000, 2009))}
CURVES = {name: [(10**n, 10.0**-n) for n in range(5)] for name in ("a", "b", "c")}
FIGURES = {
    "funnel": lambda: plots_corpus.funnel(100, {"no abstract": 20, "retracted": 1}),
    "nothing dropped": lambda: plots_corpus.funnel(1, {}),
    "lengths": lambda: plots_corpus.lengths({"words": [3, 4, 4, 9, 400], "sentences": [2]}),
    "years": lambda: plots_corpus.words_by_year(YEARS, ["gene", "drug"], bin_years=2),
    "as read from JSON": lambda: plots_corpus.words_by_year(
        {str(year): row for year, row in YEARS.items()}, ["gene"]
    ),
    "zipf": lambda: plots_corpus.zipf(CURVES),
    "heaps": lambda: plots_corpus.heaps({"a": [(10, 8), (1000, 300)]}),
    "cuts": lambda: plots_corpus.cut_words(
        {"of": ["of"], "salbutamol": ["sal", "##but", "##amol"], "x" * 40: list("x" * 40)}
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_sound_svg_and_the_same_each_time(name):
    assert "nan" not in sound_svg(FIGURES[name])


@pytest.mark.parametrize(
    "draw, says",
    [
        (lambda: plots_corpus.funnel(3, {"duplicate": 4}), "adds up"),
        (lambda: plots_corpus.funnel(0, {}), "adds up"),
        (lambda: plots_corpus.lengths({"words": []}), "'words'"),
        (lambda: plots_corpus.words_by_year(YEARS, ["gene"], least=41), "no year has 41"),
        (lambda: plots_corpus.words_by_year(YEARS, ["cell"]), "'cell' was not counted"),
        (lambda: plots_corpus.cut_words({}), "no words"),
    ],
)
def test_what_cannot_be_drawn_is_an_error(draw, says):
    with pytest.raises(ValueError, match=says):
        draw()


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title)]


def test_the_funnel_says_all_its_numbers():
    figure = plots_corpus.funnel(1200, {"no abstract": 150, "retracted": 50})
    assert {"1,200", "− 150", "− 50", "1,000"} <= set(texts(figure))
    ends = [bar.get_x() + bar.get_width() for bar in figure.axes[0].patches]
    assert ends == [1200, 1200, 1050, 1000]


def test_every_piece_of_a_word_is_drawn_with_their_number():
    shown = texts(plots_corpus.cut_words({"salbutamol": ["sal", "##but", "##amol"], "of": ["of"]}))
    assert {"sal", "##but", "##amol", "of", "3", "1"} <= set(shown)


def test_a_share_is_of_the_texts_of_its_year_and_rare_years_are_left_out():
    years = {2000: {"": 50, "gene": 10}, 2001: {"": 3, "gene": 3}, 2002: {"": 50, "gene": 0}}
    line = plots_corpus.words_by_year(years, ["gene"]).axes[0].lines[0]
    assert list(line.get_xdata()) == [2000, 2002] and list(line.get_ydata()) == [20, 0]


# -- characters ------------------------------------------------------------------------------------


def test_hidden_characters_are_shown_and_text_is_escaped():
    shown = plots_corpus.visible("<b>a\u00adb\ufeff\u00a0e\u0301</b>\n")
    assert re.findall(r'class="p">([^<]+)<', shown) == ["SHY", "BOM", "NBSP", "U+0301"]
    assert "&lt;b&gt;" in shown and "<b>" not in shown


def test_before_and_after_with_pieces_joined():
    row = {"what": "<x>", "before": "a", "after": "b", "pieces": (["a", "##b"], ["c"])}
    html = plots_corpus.before_after([row, {"what": "y", "before": "1", "after": "2"}])
    assert html.count('class="word"') == 2 and "&lt;x&gt;" in html and "p whole" not in html


def test_the_static_lab_ends_where_the_cleaning_ends():
    text = "p &amp;lt;&lt;i&gt;0.05 auto\u00adimmune"
    html = widgets.cleaning_steps(text)
    assert all(step.name in html for step in STEPS)
    assert plots_corpus.visible(clean(text)) in html
    assert widgets.cleaning_steps("plain").count("no change") == len(STEPS)


def test_the_lab_draws_what_is_typed():
    box, output = widgets.cleaning_lab("a").children
    box.value = "auto\u00adimmune"
    assert "immune" in box.value and output is not None
