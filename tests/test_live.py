"""The live check of the widgets: what it runs, that no widget is left out, and what it finds."""

from __future__ import annotations

import json
import re
from pathlib import Path

import chromium
import live
import pytest

CASES = live.cases()


@pytest.mark.parametrize(
    ("code", "bound", "changed", "used"),
    [
        ("n = 3\nrows[0] = [f(i) for i in range(n)]", {"n"}, {"rows"}, {"f", "rows"}),
        ("import a.b as c\nfrom d import e", {"c", "e"}, set(), set()),
        ("def f(x):\n    return g(x) + y", {"f"}, set(), {"g", "y"}),
        ("total += 1", {"total"}, set(), {"total"}),
        ("for row in rows:\n    name = row\n    some[name] = row", {"row", "name"}, {"some"},
         {"rows", "some"}),
        ("x = x.y", {"x"}, set(), {"x"}),
        ("a.b.c[0] = len(d)", set(), {"a"}, {"a", "d"}),
        ("f()[0] = 1", set(), set(), {"f"}),
    ],
)  # fmt: skip
def test_names_that_a_cell_binds_changes_and_takes(code, bound, changed, used):
    assert live.names_of(code) == (bound, changed, used)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (["a = 0", "a = 1", "b = 2", "c = [a]", "c[0] = 3", "show(c)"], [1, 3, 4, 5]),
        (["a = 1", "def f(): return a", "b = 2", "f()"], [0, 1, 3]),
        (["a = 1", "a += 1", "show(a)"], [0, 1, 2]),
        (["import m", "x = 1", "show(2)"], [2]),
    ],
)
def test_a_cell_is_run_with_those_that_it_needs(codes, expected):
    assert live.needed(codes, len(codes) - 1) == expected


def test_every_widget_of_the_chapters_is_used_and_every_step_has_its_widget():
    assert len(CASES) >= 8 and len({case.name for case in CASES}) == len(CASES)
    assert {case.maker for case in CASES} == set(live.STEPS)
    assert set(live.STEPS) <= live.makers()
    assert all("chapter.setup()" in case.codes[0] for case in CASES)
    how = {step.how for steps in live.STEPS.values() for step in steps}
    assert how == {"keys", "type", "number", "click"}


def test_a_widget_of_any_kind_is_seen(tmp_path):
    codes = ["x = 1", "from ipywidgets import interact", "widgets.tag_box(t)", "y = x"]
    (tmp_path / "a.ipynb").write_text(json.dumps(live.notebook(codes)))
    assert [case.maker for case in live.cases(tmp_path)] == ["ipywidgets", "tag_box"]


def test_what_is_made_smaller_is_there():
    for name, (text, less) in live.SMALLER.items():
        assert (live.NOTEBOOKS / f"{name}.ipynb").read_text("utf-8").count(text) == 1 and less


@pytest.mark.parametrize("path", sorted(live.NOTEBOOKS.glob("*.ipynb")), ids=lambda p: p.stem)
def test_a_page_has_the_twin_of_a_widget_and_not_the_widget(path):
    """The twin stands in the cell before; without a kernel the widget itself would be nothing."""
    cells = [c for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == "code"]
    known = live.makers()
    for before, cell in zip(cells, cells[1:], strict=False):
        if live.maker_of("".join(cell["source"]), known):
            assert "remove-output" in cell["metadata"].get("tags", []), cell["id"]
            assert re.search(r"display\(HTML\(\S+\(", "".join(before["source"])), cell["id"]


WIDGETS = """
import ipywidgets
from bioptimus_lib.controls import above_picture

controls = {
    "n": ipywidgets.IntSlider(value=1, min=0, max=3, description="n"),
    "word": ipywidgets.Dropdown(options=["a", "b"], description="word"),
}
above_picture(controls, lambda n, word: %s)
"""
GOOD = "f'<p>{n} times {word}</p>'"
STEPS = [
    live.Step("n", "keys", "End", "3 times a"),
    live.Step("n", "number", "-5", "0 times a"),
    live.Step("word", "keys", "Space ArrowDown Enter", "0 times b"),
]
#: Picture of a widget, what is done with it, what is found.
FAULTS = {
    "good": (GOOD, STEPS, []),
    "unused": (GOOD, STEPS[:2], ["no step uses 'word'"]),
    "deaf": ("'<p>the same</p>'", STEPS[:1], ["does not change", "no step"]),
    "wrong": ("f'<p>{word}{n}</p>'", STEPS[:1], ["'3 times a' is not shown", "no step"]),
    "error": ("1 / (3 - n) and '<p>1</p>' + word", STEPS[:1], ["ZeroDivisionError", "no step"]),
    "wide": ("'<div style=overflow:auto><i style=padding-left:9000px></i></div>' + str(n) + "
             "' times ' + word", STEPS, ["scrolls sideways"]),
}  # fmt: skip


@pytest.mark.skipif(chromium.find_browser() is None, reason="no Chromium on this machine")
def test_every_fault_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(live, "ANSWER", 5.0)
    some = [live.Case(name, name, (WIDGETS % FAULTS[name][0],)) for name in FAULTS]
    found = live.live(
        some,
        steps={name: steps for name, (_, steps, _) in FAULTS.items()},
        pictures=tmp_path / "pictures",
    )
    assert "good" not in found, found
    for name, (_, _, messages) in FAULTS.items():
        for message in messages:
            assert any(message in problem for problem in found[name]), (name, found)
    kept = {path.name for path in Path(tmp_path / "pictures").iterdir()}
    assert {"good-first.png", "good-0.png", "good-2.png", "good-dark.png"} <= kept


def test_command_says_what_it_lacks(monkeypatch, capsys):
    monkeypatch.setattr(chromium, "find_browser", lambda: None)
    assert live.main([]) == 2 and "no browser" in capsys.readouterr().err
    assert live.main(["99"]) == 2 and "no widget in 99" in capsys.readouterr().err
