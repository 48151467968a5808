"""Figures and pictures: what they draw, that they repeat byte for byte, that text is escaped."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioptimus_lib import pictures, plots
from bioptimus_lib.pictures import Cell
from tests.conftest import sound_svg

LOG = [{"tokens": 2048 * (i + 1), "loss": 6 - i / 10} for i in range(12)]
FIGURES = {
    "losses": lambda: plots.loss_curves({"v0.1": LOG, "v0.2": LOG[:3], "v0.4": LOG[:1]}),
    "f1": lambda: plots.f1_by_version({"old": [60.0, 61.0], "continued": [63.0], "v0.1": [64, 66]}),
    "one seed": lambda: plots.f1_by_version({"old": [60.0], "v0.4": [64.0]}),
    "neighbours": lambda: plots.neighbours(
        {"random": [("of", 0.2)], "distilled": [("asthma", 0.9), ("##ing", -0.1)], "last": []},
        related=["asthma"], title="of a word",
    ),
}  # fmt: skip
NASTY = "<script>alert('&\"')</script>"


class Page(HTMLParser):
    """Tags and text of HTML, and whether every tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(html)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("img", "source", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


# -- figures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_sound_svg_and_the_same_each_time(name):
    text = sound_svg(FIGURES[name])
    assert len(text) < 100_000
    figure = FIGURES[name]()
    assert plots.svg(figure) == text == plots.svg(figure)


def test_styles_and_colours_do_not_leak():
    import matplotlib

    before = dict(matplotlib.rcParams)
    plots.svg(FIGURES["losses"]())
    assert dict(matplotlib.rcParams) == before


def test_letters_keep_their_scale_when_coordinates_are_rounded():
    text = plots.svg(FIGURES["f1"]())
    defined = re.findall(r'<path id="DejaVu[^>]*transform="scale\(([^)]*)\)"', text)
    assert defined and set(defined) == {"0.015625"}
    assert not re.search(r"translate\([^)]*\d\.\d{3}", text)


def test_each_series_differs_in_more_than_colour():
    looks = {(look["marker"], str(look["linestyle"])) for look in plots.SERIES}
    assert len(looks) == len(plots.SERIES) == len({look["color"] for look in plots.SERIES})


def test_loss_curves_put_phases_one_after_the_other():
    axes = plots.loss_curves({"v0.1": LOG, "v0.2": LOG[:3]}).axes[0]
    curves = [line for line in axes.lines if len(line.get_xdata()) > 2]
    end = LOG[-1]["tokens"] / 1000
    raw, mean, second = curves
    assert list(raw.get_ydata()) == [row["loss"] for row in LOG]
    assert list(mean.get_ydata()) == plots.centred_mean(raw.get_ydata(), 2)
    assert raw.get_xdata()[-1] == mean.get_xdata()[-1] == end
    assert list(second.get_xdata()) == [end + row["tokens"] / 1000 for row in LOG[:3]]
    said = " ".join(text.get_text() for text in axes.texts)
    assert "tokens 15%" in said and "words 15%" in said


def test_last_phase_is_said_to_have_no_corruption():
    axes = plots.loss_curves({"v0.4": LOG}).axes[0]
    assert any("all [MASK]" in text.get_text() for text in axes.texts)


def test_f1_shows_every_seed_the_mean_and_the_noise():
    figure = plots.f1_by_version({"continued": [60.0, 62.0], "v0.4": [64.0, 66.0]})
    axes = figure.axes[0]
    drawn = sorted(x for line in axes.lines for x in map(float, line.get_xdata()))
    assert {60.0, 61.0, 62.0, 64.0, 65.0, 66.0} <= set(drawn)
    assert [text.get_text() for text in axes.texts] == ["61.0", "65.0"]
    band = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert band.x0 == pytest.approx(61 - 2 * 2**0.5) and band.x1 == pytest.approx(61 + 2 * 2**0.5)


def test_one_seed_has_no_band_and_says_so():
    axes = plots.f1_by_version({"continued": [60.0], "v0.4": [64.0]}).axes[0]
    assert not axes.patches and "one seed" in axes.get_xlabel()


def test_neighbours_mark_kin_by_more_than_colour():
    axes = FIGURES["neighbours"]().axes[1]
    kin, other = axes.patches
    assert kin.get_hatch() and not other.get_hatch()
    assert axes.texts[0].get_text() == "● asthma" and axes.texts[1].get_text() == "##ing"
    assert other.get_width() == 0.0  # a negative cosine is drawn as none


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plots.loss_curves({}), "no losses"),
        (lambda: plots.loss_curves({"v0.1": []}), "no losses"),
        (lambda: plots.loss_curves({"v9": LOG}), "'v9' is unknown"),
        (lambda: plots.f1_by_version({"old": []}), "no scores"),
        (lambda: plots.neighbours({}), "no neighbours"),
        (lambda: plots.image("<svg/>", alt=" "), "needs alt text"),
        (lambda: pictures.pipeline_picture(7), "stage 7"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_nearest_leaves_itself_out_and_takes_zero_rows():
    assert plots.nearest([[1, 0], [0, 0], [1, 1], [-1, 0]], 0, n=9)[0] == (
        2, pytest.approx(0.5**0.5)
    )
    assert len(plots.nearest([[1, 0], [0, 1]], 0, n=9)) == 1


@given(st.lists(st.lists(st.floats(-100, 100), min_size=1, max_size=4), min_size=1, max_size=4))
def test_pooled_spread_does_not_depend_on_the_means(groups):
    shifted = [[x + 7 * i for x in group] for i, group in enumerate(groups)]
    one, other = plots.pooled_spread(groups), plots.pooled_spread(shifted)
    assert (one is None) == all(len(group) == 1 for group in groups)
    assert one is other or one == pytest.approx(other, abs=1e-6)


# -- onto the page -------------------------------------------------------------------------------


def test_image_carries_picture_and_words():
    page = Page(plots.image("<svg xmlns='http://www.w3.org/2000/svg'/>", alt=f' a  "{NASTY}" '))
    (image,) = page.all("img")
    assert image["alt"] == f'a "{NASTY}"'
    kind, content = image["src"].split(",")
    assert kind == "data:image/svg+xml;base64" and b"<svg" in base64.b64decode(content)


def test_show_displays_an_image_with_alt_text():
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.utils.capture import capture_output

    InteractiveShell.instance()
    with capture_output() as captured:
        plots.show(FIGURES["one seed"](), alt="two models")
    assert 'alt="two models"' in captured.outputs[0].data["text/html"]


# -- pictures made of text -----------------------------------------------------------------------


def test_map_marks_the_stages_of_a_chapter():
    for columns in (6, 3):
        plain, one, all_six = (
            pictures.pipeline_picture(here, columns=columns) for here in ((), 3, range(1, 7))
        )
        assert all(ElementTree.fromstring(text).tag.endswith("svg") for text in (plain, one))
        assert plain.count("you are here") == 0 and one.count("you are here") == 1
        assert all_six.count("all six") == 1
        for title, gives, _ in pictures.STAGES:
            assert title in one and gives in one
    assert "You are at Scan and NER" in pictures.pipeline_words([2, 6])
    behind = pictures.pipeline_picture(6, after=True)
    assert "goes on from here" in behind and "you are here" not in behind
    assert "This chapter goes on from NER" in pictures.pipeline_html(6, after=True)
    assert "all of them" in pictures.pipeline_words(range(1, 7))


def test_map_has_a_version_for_narrow_screens_and_alt_text():
    page = Page(pictures.pipeline_html(2))
    assert page.all("source")[0]["media"] == "(max-width: 640px)"
    assert page.all("img")[0]["alt"] == pictures.pipeline_words(2)
    assert page.all("img")[0]["src"] != page.all("source")[0]["srcset"]


@pytest.mark.parametrize(
    "html",
    [
        pictures.contexts_list(NASTY, [NASTY, f"x {NASTY} y"]),
        pictures.contexts_list(NASTY, []),
        pictures.document([NASTY], marked=["alert"]),
        pictures.pieces_table({NASTY: {NASTY: [NASTY, NASTY]}}),
        pictures.table([{NASTY: NASTY}], numbers=[NASTY]),
        pictures.table([]),
        pictures.masks({NASTY: [Cell(NASTY, NASTY, True), Cell(NASTY, "[MASK]", True)]}),
        pictures.panel("", label=NASTY),
    ],
    ids=range(8),
)
def test_text_of_a_corpus_is_escaped(html):
    assert not Page(html).all("script")


def test_contexts_mark_whole_words_in_any_case():
    html = pictures.contexts_list("il-2", ["IL-2 and IL-23; (il-2)."])
    assert re.findall("<mark>(.*?)</mark>", html) == ["IL-2", "il-2"]
    assert "No context" in pictures.contexts_list("zinc", [])
    assert pictures.contexts_list("a", ["a"] * 9, most=4).count("<li>") == 4
    assert "<mark>" not in pictures.document(["no marks"])


def test_a_word_of_one_piece_is_set_off():
    assert "p whole" in pictures.chips(["asthma"]) and "whole" not in pictures.chips(["as", "##th"])


def test_masks_join_the_pieces_of_a_word_and_count():
    cells = [Cell("bro", "[MASK]", True), Cell("##nch", "cat", True), Cell("in", "in", True),
             Cell("a", "a", False)]
    assert [cell.kind for cell in cells] == ["mask", "other", "kept", "plain"]
    html = pictures.masks({"v0.1": cells})
    assert "3 of 4 pieces to guess (75%)" in html
    assert html.count('<span class="word">') == 3
    Page(html)


# -- the chapters use them -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem
)
def test_header_of_each_chapter_has_the_map_as_it_is_drawn_now(path):
    import json

    cell = json.loads(path.read_text(encoding="utf-8"))["cells"][0]
    picture = re.search("<picture>.*?</picture>", "".join(cell["source"]))
    assert picture, "the first cell holds pictures.pipeline_html(here)"
    choices = [pictures.pipeline_html(here) for here in (range(1, 7), *range(1, 7))]
    choices.append(pictures.pipeline_html(6, after=True))
    assert picture.group() in choices, "make the map anew with pictures.pipeline_html(here)"
