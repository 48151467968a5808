"""Figures and the widget of the vocabulary chapter."""

from __future__ import annotations

import pytest

from bioptimus_lib import chapter, evidence, ledger, plots_vocab
from bioptimus_lib.widgets_vocab import MOST, cuts, cutting_lab
from tests.conftest import sound_svg

BARS = {
    "old": {"kept": 40, "dropped": 60},
    "new": {"kept": 40, "new, begins a word": 55, "new, inside a word": 5},
}
SHARES = {"new": {"drug": 0.25, "no class": 0.75}, "general": {"drug": 0.001, "no class": 0.999}}
CURVES = {"a": [[1000, 0.5, 2.0], [4000, 0.7, 1.6]], "b": [(1000, 0.3), (4000, 0.4)]}
FIGURES = {
    "overlap": lambda: plots_vocab.overlap(BARS, title="40% kept"),
    "classes": lambda: plots_vocab.class_shares(SHARES),
    "arrows": lambda: plots_vocab.before_and_after({"field": (2.0, 1.2), "general": (1.1, 1.5)}),
    "coverage": lambda: plots_vocab.coverage_curves(
        CURVES, marked={"a": (4000, 0.6), "b": (4000, 0.2)}
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_sound_svg_and_the_same_each_time(name):
    assert len(sound_svg(FIGURES[name])) < 200_000


def test_overlap_adds_up_and_fates_differ_in_more_than_colour():
    axes = FIGURES["overlap"]().axes[0]
    widths = [patch.get_width() for patch in axes.patches]
    assert widths == [40, 60, 40, 55, 5]
    hatches = [patch.get_hatch() for patch in axes.patches]
    assert len(set(hatches)) == 4 and hatches[0] == hatches[2]
    assert [text.get_text() for text in axes.texts] == ["40", "60", "40", "55"]  # 5 has no room


def test_classes_are_bars_per_group_with_their_share():
    axes = FIGURES["classes"]().axes[0]
    assert [patch.get_width() for patch in axes.patches] == [0.25, 0.75, 0.001, 0.999]
    assert [text.get_text() for text in axes.texts] == ["25%", "75%", "0.1%", "100%"]
    assert axes.patches[0].get_hatch() != axes.patches[2].get_hatch()


def test_arrows_go_from_old_to_new_and_those_that_cost_are_dashed():
    axes = FIGURES["arrows"]().axes[0]
    markers = [(line.get_marker(), line.get_xdata()[0]) for line in axes.lines]
    assert markers == [("o", 2.0), ("s", 1.2), ("o", 1.1), ("s", 1.5)]
    arrows = [text for text in axes.texts if text.arrow_patch is not None]
    assert [arrow.arrow_patch.get_linestyle() for arrow in arrows] == ["-", "--"]
    assert [text.get_text() for text in axes.texts if text.get_text()] == [
        "1.20", "2.00", "1.50", "1.10"
    ]


def test_coverage_is_drawn_on_a_logarithmic_axis_with_what_is_set_off():
    axes = FIGURES["coverage"]().axes[0]
    assert axes.get_xscale() == "log"
    assert [list(line.get_ydata()) for line in axes.lines] == [[0.5, 0.7], [0.3, 0.4], [0.6], [0.2]]
    assert len({line.get_marker() for line in axes.lines}) == 3


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plots_vocab.overlap({}, title=""), "with pieces"),
        (lambda: plots_vocab.overlap({"old": {"kept": 0}}, title=""), "with pieces"),
        (lambda: plots_vocab.overlap({"old": {"lost": 3}}, title=""), "'lost' is none of"),
        (lambda: plots_vocab.class_shares({}), "0 groups"),
        (lambda: plots_vocab.before_and_after({}), "no text"),
        (lambda: plots_vocab.coverage_curves({"a": []}), "1 curves"),
        (lambda: plots_vocab.coverage_curves({str(n): [(1, 1)] for n in range(7)}), "7 curves"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# -- the lab ---------------------------------------------------------------------------------------


class Toy:
    def __init__(self, size):
        self.size = size

    def tokenize(self, word):
        return [word[i : i + self.size] for i in range(0, len(word), self.size)]


BOTH = {"old <1>": Toy(2), "new": Toy(9)}


def test_twin_cuts_each_word_by_each_tokenizer():
    html = cuts(BOTH, "gastric  gastric <b>")
    assert html.count(">gastric<") == 2  # its heading, and as one piece
    assert "old &lt;1&gt;" in html and "&lt;b&gt;" in html and "<b>" not in html
    assert "Type a word" in cuts(BOTH, "  ")
    many = cuts(BOTH, " ".join(f"w{n}" for n in range(MOST + 3)))
    assert "3 more words" in many and f"w{MOST}" not in many


def test_lab_follows_what_is_typed(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda html: shown.append(html.data))
    lab = cutting_lab(BOTH, "aspirin")
    lab.children[0].value = "zinc"
    assert "aspirin" in shown[0] and "zinc" in shown[-1] and "aspirin" not in shown[-1]


# -- what the chapter takes from elsewhere ---------------------------------------------------------


def test_new_modules_are_leaves():
    for name in ("plots_vocab", "widgets_vocab", "comparison", "word_classes", "adding"):
        assert name in chapter.LEAVES


def test_a_table_of_rows_takes_those_that_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path)
    row = {"dataset": "x", "profile": "any", "seed": None, "device": "CPU", "versions": {},
           "data": {}, "commit": None, "metrics": {"n": 1}}  # fmt: skip
    rows = [{**row, "model": name, "command": f"make {name}"} for name in ("one", "two")]
    ledger.append("vocabulary", rows, folder=tmp_path)
    html = evidence.rows_table("vocabulary", keep=lambda row: row["model"] == "two")
    assert "make two" in html and "make one" not in html
    assert "holds no rows" in evidence.rows_table("vocabulary", keep=lambda row: False)
