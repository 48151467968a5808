"""Figures of the scanning chapter, the table of ratios, and the browser of contexts."""

from __future__ import annotations

import json
from html import unescape

import pytest

from bioptimus_lib import chapter, evidence, ledger, plots_scan, widgets
from bioptimus_lib.contexts import Contexts
from bioptimus_lib.evidence import ratio_table
from tests.conftest import sound_svg

FIGURES = {
    "growth": lambda: plots_scan.growth_curves(
        {"loop": {1: 0.1, 10: 0.2, 100: 1.9}, "set": {1: 0.2, 1000: 0.21}}, megabytes=0.2
    ),
    "speed-up": lambda: plots_scan.speed_ups({1: 0.9, 2: 1.7}, serial=0.1, parallel=0.9),
    "sketches": lambda: plots_scan.sketches({"a": [1, 2**63, 2**62], "b": [2**60]}, 2),
    "inclusion": lambda: plots_scan.inclusion_rates(
        {"first": [1.0, 0.0, 0.0], "fair": [0.3, 0.4, 0.3]}, (2, 1), 1
    ),
    "fates": lambda: plots_scan.fates({"kept": 3, "lost": 1}, kept="kept", title="4 lines"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_sound_svg_and_the_same_each_time(name):
    assert len(sound_svg(FIGURES[name])) < 200_000


def test_growth_is_drawn_per_megabyte_on_logarithmic_axes():
    axes = FIGURES["growth"]().axes[0]
    assert axes.get_xscale() == axes.get_yscale() == "log"
    first, second, guide = axes.lines
    assert list(first.get_ydata()) == pytest.approx([0.5, 1.0, 9.5])
    assert first.get_marker() != second.get_marker()
    (x0, x1), (y0, y1) = guide.get_xdata(), guide.get_ydata()
    assert y1 / y0 == pytest.approx(x1 / x0)


def test_amdahls_curve_starts_at_one_and_stays_below_its_ceiling():
    ideal, curve, measured = FIGURES["speed-up"]().axes[0].lines
    assert curve.get_ydata()[0] == 1 and 8 < curve.get_ydata()[-1] < 10
    assert curve.get_xdata()[-1] == pytest.approx(plots_scan.MOST)
    assert list(measured.get_xdata()) == [1, 2] and list(ideal.get_xdata()) == [1, 64]


def test_sketches_fill_the_smallest_of_each_part_and_of_the_whole():
    axes = FIGURES["sketches"]().axes[0]
    kept = [line.get_xdata() for line in axes.lines[1:6:2]]
    assert [len(x) for x in kept] == [2, 1, 2]
    assert list(kept[2]) == [1 / 2**64, 2**60 / 2**64]
    assert axes.lines[-1].get_xdata()[0] == 2**60 / 2**64  # the limit


def test_fates_are_shares_and_the_kept_ones_differ_in_more_than_colour():
    axes = FIGURES["fates"]().axes[0]
    assert [patch.get_width() for patch in axes.patches] == [0.75, 0.25]
    assert axes.patches[0].get_hatch() and not axes.patches[1].get_hatch()
    assert [text.get_text() for text in axes.texts] == ["75%", "25%"]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plots_scan.growth_curves({}, megabytes=1), "0 series"),
        (lambda: plots_scan.growth_curves({"a": {}}, megabytes=1), "1 series"),
        (lambda: plots_scan.growth_curves({str(n): {1: 1.0} for n in range(7)}, megabytes=1),
         "7 series"),
        (lambda: plots_scan.speed_ups({}, serial=1, parallel=1), "needs a measurement"),
        (lambda: plots_scan.speed_ups({1: 1.0}, serial=1, parallel=0), "shared out"),
        (lambda: plots_scan.sketches({"a": []}, 1), "no hashes"),
        (lambda: plots_scan.inclusion_rates({"a": [0.1]}, (2,), 1), "needs 2 rates"),
        (lambda: plots_scan.fates({"kept": 0}, kept="kept", title=""), "nothing to draw"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# -- ratios --------------------------------------------------------------------------------------


def test_ratios_of_the_ledger_name_both_sides_and_the_spread(tmp_path, monkeypatch):
    monkeypatch.setattr(ledger, "results_dir", lambda: tmp_path)
    assert "holds no rows" in ratio_table("bench-scan")
    assert evidence.COMMANDS["bench-scan"] in ratio_table("bench-scan")
    row = {"dataset": "biomed", "profile": "laptop", "seed": None, "device": "CPU <2 cores>",
           "command": "bioptimus bench scan", "versions": {}, "data": {}, "commit": None}
    rows = [
        {**row, "model": model, "variant": "10000 keywords, 2 workers",
         "metrics": {"ratio": ratio, "least": ratio - 0.1, "most": ratio + 0.1}}
        for model, ratio in (("qik-find / scan", 543.21), ("ripgrep / scan", 2.5))
    ]
    ledger.append("bench-scan", rows, folder=tmp_path)
    html = ratio_table("bench-scan")
    assert html.index("scan against ripgrep") < html.index("scan against qik-find")
    assert ">2.50<" in html and "2.40 to 2.60" in html and ">543<" in html
    assert html.count("bioptimus bench scan") == 1 and "CPU &lt;2 cores&gt;" in html


# -- the browser ---------------------------------------------------------------------------------

CONTEXTS = Contexts(
    {"zinc": ["Zinc <fell>.", "No zinc.", "zinc"], "il": []}, counts={"zinc": 1234, "il": 0}
)


def test_browser_picture_shows_the_sentences_and_how_many_there_are():
    html = widgets.browser_picture(CONTEXTS, "zinc", most=2)
    assert "2 shown, of 1,234 lines" in html and html.count("<li>") == 2
    assert "&lt;fell&gt;" in html and "<mark>Zinc</mark>" in html
    assert "No context" in widgets.browser_picture(CONTEXTS, "il")
    unknown = widgets.browser_picture(Contexts({"zinc": ["zinc"]}), "zinc")
    assert "1 shown<" in unknown


def test_twin_shows_every_keyword_that_is_asked_for():
    html = widgets.browser_twin(CONTEXTS, ["il", "zinc"], most=1)
    assert html.index(">il ") < html.index(">zinc ") and html.count("<li>") == 1


def test_browser_follows_its_controls(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda html: shown.append(html.data))
    browser = widgets.contexts_browser(CONTEXTS)
    controls = {w.description: w for w in browser.children if hasattr(w, "description")}
    assert list(controls) == ["keyword", "sentences"]
    assert controls["sentences"].max == 3 == controls["sentences"].value
    controls["sentences"].value = 1
    controls["keyword"].value = "il"
    assert "1 shown" in shown[-2] and "No context" in unescape(shown[-1])
    with pytest.raises(ValueError, match="no keywords"):
        widgets.contexts_browser(Contexts({}))


def test_new_modules_are_leaves():
    for name in ("plots_scan", "scan_steps", "samplers", "qik", "evidence"):
        assert name in chapter.LEAVES
    json.dumps(evidence.COMMANDS)
