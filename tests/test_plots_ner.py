"""Figures of the chapter on NER data."""

from __future__ import annotations

import pytest

from bioptimus_lib import plots_ner
from bioptimus_lib.ner_errors import KINDS
from bioptimus_lib.windows import IGNORED, cut
from tests.conftest import sound_svg

SIZES = [1, 3, 2, 1, 1, 2, 1, 4, 1, 1]
TAGS = ["O", "B-X", "I-X", "O", "O", "B-X", "O", "B-X", "B-X", "O"]
WAYS = {"strict": [60.0, 62.0], "default": [61.0, 63.0], "cut": [50.0, 52.0]}
COUNTS = dict(zip(KINDS, (5, 0, 1, 2, 1, 8, 3), strict=True))
SHARES = {"A": {"seen": 0.5, "partly": 0.45, "never": 0.05},
          "B": {"seen": 0.2, "partly": 0.2, "never": 0.6}}  # fmt: skip
FIGURES = {
    "windows": lambda: plots_ner.window_rows(SIZES, TAGS, cut(SIZES, 8), room=8),
    "one window": lambda: plots_ner.window_rows([1, 1], ["O", "B-X"], cut([1, 1], 8), room=8),
    "ways": lambda: plots_ner.ways({"A": WAYS, "B": {"strict": [1.0]}}, reference="strict"),
    "mistakes": lambda: plots_ner.mistakes({"A": COUNTS, "B": COUNTS}),
    "lengths": lambda: plots_ner.lengths({"A": [(1, 5), (2, 3)], "B": [(1, 0), (2, 9)]}),
    "stacked": lambda: plots_ner.stacked(SHARES, title="New", xlabel="% of mentions"),
    "map": lambda: plots_ner.share_map(
        {"A": {"B": 0.25}, "B": {"A": 0.9}}, xlabel="training of", ylabel="test of", title="Shared"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_sound_svg_and_the_same_each_time(name):
    assert len(sound_svg(FIGURES[name])) < 300_000


def test_labelled_parts_of_windows_follow_one_another_and_the_rest_is_hatched():
    axes = FIGURES["windows"]().axes[0]
    windows = cut(SIZES, 8)
    bars = axes.patches[1 + 4 : 1 + 4 + 2 * len(windows)]
    labelled = bars[1::2]
    ends = [bar.get_x() + bar.get_width() for bar in labelled]
    assert [bar.get_x() for bar in labelled] == [0, *ends[:-1]] and ends[-1] == sum(SIZES)
    shown, lost = axes.patches[-2:]
    assert (shown.get_width(), lost.get_width()) == (8, sum(SIZES) - 8) and lost.get_hatch()


def test_ways_say_their_difference_to_the_reference():
    first, second = FIGURES["ways"]().axes
    said = [text.get_text() for text in first.texts]
    assert said == ["61.0", "+1.0", "-10.0"] or said == ["61.0", "+1.0", "−10.0"]
    markers = {line.get_marker() for line in first.lines} - {"None"}
    assert len(markers) == 3  # above, below and at the reference
    assert [text.get_text() for text in second.texts] == ["1.0"]


def test_mistakes_are_counts_with_shares():
    axes = FIGURES["mistakes"]().axes[0]
    assert [bar.get_width() for bar in axes.patches] == list(COUNTS.values())
    assert [text.get_text() for text in axes.texts][0] == "25%"
    assert [bool(bar.get_hatch()) for bar in axes.patches] == [True] * 5 + [False] * 2


def test_lengths_are_per_cent():
    first, second = FIGURES["lengths"]().axes[0].lines
    assert list(first.get_ydata()) == pytest.approx([62.5, 37.5])
    assert list(second.get_ydata()) == [0, 100] and first.get_marker() != second.get_marker()


def test_parts_add_up_and_small_ones_have_no_number():
    axes = FIGURES["stacked"]().axes[0]
    assert sum(bar.get_width() for bar in axes.patches) == pytest.approx(200)
    assert [text.get_text() for text in axes.texts] == ["50", "45", "20", "20", "60"]
    assert len({bar.get_hatch() for bar in axes.patches}) == 3


def test_a_map_has_a_dash_where_nothing_was_compared():
    axes = FIGURES["map"]().axes[0]
    assert [text.get_text() for text in axes.texts] == ["–", "25%", "90%", "–"]


def test_pieces_stand_below_their_token_with_labels_and_are_escaped():
    text = plots_ner.aligned(
        ["a<b", "c"], ["B-X", "O"], [["a", "##<"], ["c"]], [["B-X", IGNORED], ["O"]]
    )
    assert "a&lt;b" in text and "##&lt;" in text and "a<b" not in text
    assert text.count('class="p kept"') == 2 and text.count("<small>–</small>") == 1
    with pytest.raises(ValueError, match="argument"):
        plots_ner.aligned(["a"], ["O", "O"], [["a"]], [["O"]])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plots_ner.window_rows([1], ["O"], [], room=3), "0 windows"),
        (lambda: plots_ner.ways({}, reference="strict"), "'strict'"),
        (lambda: plots_ner.ways({"A": {"x": [1.0]}}, reference="strict"), "'strict'"),
        (lambda: plots_ner.mistakes({}), "0 panels"),
        (lambda: plots_ner.mistakes({"A": {"x": 1}, "B": {"y": 1}}), "same kinds"),
        (lambda: plots_ner.lengths({}), "0 sets"),
        (lambda: plots_ner.lengths({"A": [(1, 2)], "B": [(2, 2)]}), "same lengths"),
        (lambda: plots_ner.stacked({"A": {}}, title="", xlabel=""), "1 to 4 parts"),
        (lambda: plots_ner.share_map({}, xlabel="", ylabel="", title=""), "needs a row"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
