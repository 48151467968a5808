"""Every chapter has the form that git keeps; a broken notebook for each rule proves the rule."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path

import adopt
import pytest
import tidy

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ADDRESS = adopt.current(ROOT)


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def test_there_are_chapters():
    assert CHAPTERS, "notebooks/ is empty"
    assert all(re.fullmatch(r"\d\d_[a-z0-9_]+", path.stem) for path in CHAPTERS)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_is_clean(path):
    found = tidy.problems(read(path), setup=tidy.setup_cell(read(CHAPTERS[0])), address=ADDRESS)
    assert not found, "\n".join([*found, "`make notebooks` mends form; words are yours to write"])


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_is_in_normal_form(path):
    text = path.read_text(encoding="utf-8")
    assert tidy.to_text(tidy.normalise(json.loads(text))) == text, "run `make notebooks`"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_title_and_exercises_carry_the_number_of_the_chapter(path):
    number, texts = path.stem[:2], [tidy.source(cell) for cell in read(path)["cells"]]
    together = "\n".join(texts)
    assert texts[0].startswith(f"# {number} · ")
    heads = re.findall(r"\{exercise-start\} (\S+) · .+\n:label: (\S+)\n:nonumber:", together)
    assert len(heads) == together.count("{exercise-start}") >= 2
    for n, (shown, label) in enumerate(heads, 1):
        assert (shown, label) == (f"{number}-{n}", f"ch{number}-exercise-{n}")
    assert set(re.findall(r'^check\("([^"]+)"', together, re.M)) == {shown for shown, _ in heads}


# -- a good notebook, and what each rule says when it is broken -----------------------------------

SETUP_TEXT = f"COURSE = 'https://github.com/{ADDRESS}'"


def code(text: str, cell_id: str, *tags: str, outputs: tuple = ()) -> dict:
    return {
        "cell_type": "code",
        "id": cell_id,
        "metadata": {"tags": list(tags)} if tags else {},
        "execution_count": 1 if outputs else None,
        "outputs": list(outputs),
        "source": text,
    }


def words(text: str, cell_id: str) -> dict:
    return {"cell_type": "markdown", "id": cell_id, "metadata": {}, "source": text}


HELLO = {"output_type": "stream", "name": "stdout", "text": ["3\n"]}
GOOD = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {},
    "cells": [
        words("# Title\n\n![a curve that falls](falls.svg)", "a1"),
        code(SETUP_TEXT, "a2", "setup"),
        code("%time print(1 + 2)", "a3", "nbval-check-output", outputs=(HELLO,)),
        code("fig, axes = plt.subplots()\nshow(fig, alt='two curves')", "a4"),
        words("```{figure} a.svg\n:alt: three bars\nA caption.\n```", "a5"),
    ],
}


def broken(number: int, **changes) -> dict:
    notebook = copy.deepcopy(GOOD)
    notebook["cells"][number].update(changes)
    return notebook


BROKEN = {
    "no set-up cell": (broken(1, metadata={}), "tagged `setup`"),
    "set-up cell not first": (broken(0, **code("1 + 1", "a0")), "tagged `setup`"),
    "another set-up cell": (broken(1, source=SETUP_TEXT + " "), "differs"),
    "stored output": (broken(3, outputs=[HELLO]), "has a stored output"),
    "checked without output": (broken(2, outputs=[], execution_count=None), "none is stored"),
    "execution count": (broken(3, execution_count=4), "execution count"),
    "id twice": (broken(4, id="a1"), "missing or there twice"),
    "id missing": (broken(4, id=""), "missing or there twice"),
    "old format": ({**GOOD, "nbformat_minor": 4}, "nbformat 4.5"),
    "image without alt": (broken(0, source="![](a.png)"), "no alt text"),
    "img without alt": (broken(0, source="<img src='a.png' alt=''>"), "no alt text"),
    "directive without alt": (broken(0, source="```{image} a.png\n:width: 3\n```"), "no :alt:"),
    "figure without alt": (broken(3, source="plt.show()"), "without alt text"),
    "figure with empty alt": (broken(3, source="show(fig, alt=' ')"), "without alt text"),
    "figure not shown": (broken(3, source="plt.plot([1])"), "not shown"),
    "line too wide": (broken(3, source="x = 1  # " + 92 * "x"), "a line of 101 letters"),
    "path in code": (broken(3, source="open('/" + "home/ann/x')"), "absolute path"),
    "path in output": (broken(2, outputs=[{**HELLO, "text": "/" + "tmp/x"}]), "absolute path"),
    "path in words": (broken(0, source="See /" + "Users/ann."), "absolute path"),
}


def test_a_good_notebook_has_no_problems():
    assert tidy.problems(GOOD, setup=SETUP_TEXT, address=ADDRESS) == []


@pytest.mark.parametrize("case", BROKEN)
def test_each_rule_can_fail(case):
    notebook, message = BROKEN[case]
    found = tidy.problems(notebook, setup=SETUP_TEXT, address=ADDRESS)
    assert len(found) == 1 and message in found[0]


def test_set_up_cell_must_know_the_address():
    found = tidy.problems(GOOD, setup=SETUP_TEXT, address="ann/other")
    assert len(found) == 1 and "ann/other" in found[0]


def test_normal_form_strips_what_a_run_leaves_and_keeps_what_is_checked():
    messy = copy.deepcopy(GOOD)
    messy["metadata"] = {"kernelspec": {"name": "mine"}, "widgets": {"state": {}}}
    for cell in messy["cells"][1:4]:
        cell.update(execution_count=7, outputs=[{**HELLO, "execution_count": 7}])
        cell["metadata"]["collapsed"] = True
    messy["cells"][0]["id"] = ""
    messy["cells"][4]["id"] = "a4"
    clean = tidy.normalise(messy, setup=SETUP_TEXT)
    assert tidy.problems(clean, setup=SETUP_TEXT, address=ADDRESS) == []
    assert clean["cells"][2]["outputs"][0]["text"] == ["3\n"]
    assert [cell.get("execution_count") for cell in clean["cells"][1:4]] == [None, 1, None]
    assert "widgets" not in clean["metadata"]
    assert tidy.normalise(clean) == clean
    assert [cell["id"] for cell in clean["cells"][1:4]] == ["a2", "a3", "a4"]


def test_tool_gives_all_notebooks_the_set_up_cell_of_the_first(tmp_path, capsys):
    first, second = tmp_path / "00_a.ipynb", tmp_path / "01_b.ipynb"
    first.write_text(json.dumps(GOOD), encoding="utf-8")
    second.write_text(json.dumps(broken(1, source="old")), encoding="utf-8")
    assert tidy.main([str(first), str(second)]) == 0
    assert tidy.setup_cell(read(second)) == SETUP_TEXT
    capsys.readouterr()
    assert tidy.main([str(first), str(second)]) == 0
    assert capsys.readouterr().out == ""  # the second time nothing is left to do
    assert tidy.main([str(tmp_path / "none.ipynb")]) == 2


def test_tool_executes_and_keeps_only_checked_outputs(tmp_path):
    notebook = {
        **GOOD,
        "cells": [
            code("x = 1 + 2", "b1", "setup"),
            code("print(x)", "b2", "nbval-check-output"),
            code(["y = -x\n", "print(y)"], "b3"),  # as git keeps it
        ],
    }
    path = tmp_path / "00_a.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    assert tidy.main(["--execute", str(path)]) == 0
    outputs = [cell["outputs"] for cell in read(path)["cells"]]
    assert outputs == [[], [HELLO], []]
