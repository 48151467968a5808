"""Figures of many workers: sound SVG, and what they show is what they were given."""

from __future__ import annotations

import pytest

from bioptimus_lib import plots_scale
from bioptimus_lib.scaling import Job, Law, check
from tests.conftest import sound_svg

LAW = Law(0.1, 1e-8, 4e-8, 2)
JOBS = [Job(n * 1e6, w, LAW.seconds(n * 1e6, w) * 1.1) for n in (1, 2, 8) for w in (1, 2)]
CHECKS = {work: check(LAW, JOBS, fitted=JOBS[:4]) for work in ("scan", "pretrain")}
CURVES = {
    "one process": {n: 6 - 0.1 * n for n in range(1, 17)},
    "two, killed, then one": {n: 6 - 0.1 * n for n in range(1, 17)},
    "plain mean": {n: 6.01 - 0.1 * n for n in range(1, 17)},
}
BILLS = [("scan", "1 laptop", 0.2, 0.1, 0.3), ("scan", "1 T4", 0.3, 0.1, 0.5),
         ("pretrain", "1 laptop", 4e4, 3e4, 5e4), ("pretrain", "1 T4", 100, 60, 170)]  # fmt: skip
FIGURES = {
    "growth": lambda: plots_scale.growth(JOBS, LAW, {1.0: 200.0, 8.0: 201.0}),
    "predicted": lambda: plots_scale.predicted(CHECKS),
    "trainings": lambda: plots_scale.trainings(CURVES, reference="one process",
                                               marks={5: "killed"}),
    "bills": lambda: plots_scale.bills(BILLS),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_sound_svg_and_the_same_each_time(name):
    assert len(sound_svg(FIGURES[name])) < 300_000


def test_marks_are_jobs_and_lines_the_law():
    left, right = FIGURES["growth"]().axes
    dots, line = left.lines[0], left.lines[1]
    assert list(dots.get_ydata()) == [j.seconds for j in JOBS if j.workers == 1]
    assert list(line.get_ydata()) == [LAW.start, LAW.seconds(8e6, 1)]
    assert list(right.lines[0].get_ydata()) == [200.0, 201.0]


def test_open_marks_are_fitted_ones():
    axes = FIGURES["predicted"]().axes[0]
    faces = [line.get_markerfacecolor() for line in axes.lines[1:]]
    assert faces[0] == faces[2] == plots_scale.PAGE and faces[1] != plots_scale.PAGE
    assert [len(line.get_xdata()) for line in axes.lines[1:]] == [2, 1, 2, 1]


def test_the_lower_panel_is_the_distance_and_no_less_than_the_axis_shows():
    low = FIGURES["trainings"]().axes[1]
    assert set(low.lines[0].get_ydata()) == {1e-6}
    assert list(low.lines[1].get_ydata()) == pytest.approx([0.01] * 16)


def test_each_work_has_its_panel_and_each_device_its_range():
    first, second = FIGURES["bills"]().axes
    assert [text.get_text() for text in first.get_yticklabels()] == ["1 laptop", "1 T4"]
    assert list(second.lines[0].get_xdata()) == [3e4, 5e4]


@pytest.mark.parametrize("call", [
    lambda: plots_scale.growth([], LAW, {1: 1}),
    lambda: plots_scale.predicted({}),
    lambda: plots_scale.predicted(dict.fromkeys("abcd", CHECKS["scan"])),
    lambda: plots_scale.trainings(CURVES, reference="none"),
    lambda: plots_scale.trainings({"a": {1: 1.0}}, reference="a"),
    lambda: plots_scale.bills([]),
], ids=range(6))  # fmt: skip
def test_nothing_to_draw_is_an_error(call):
    with pytest.raises(ValueError):
        call()
